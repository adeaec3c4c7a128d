// What a user of the SDK meets.

export * from './capabilities.ts';
export * from './errors.ts';
export * from './limits.ts';
export * from './subscription-types.ts';
export * from './types.ts';

// For sister packages: the service, its errors, and the codecs of the hot paths.

export * from './consume-codec.ts';
export * from './consume-request-codec.ts';
export * from './fetch-codec.ts';
export * from './grpc-errors.ts';
export * from './message-codec.ts';
export * from './message-walker.ts';
export * from './produce-codec.ts';
export * from './produce-stream-codec.ts';
export * from './server-handlers.ts';
export * from './service.ts';
export * from './subscription-service.ts';
export * from './walk-error.ts';
export * from './walked-request.ts';
export * from './wire.ts';
