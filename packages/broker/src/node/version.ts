/** Version of this software, as GetCapabilities and the log say it; equal to package.json. */
export const VERSION = '0.1.0';
