export {
  type AnyColumn,
  type ColumnArray,
  type Columns,
  type ColumnType,
  GroupTable,
  type GroupTableOptions,
} from './group-table.ts';
export * from './ports.ts';
