// Owns the public names of the SDK package.
export { columns } from '../abi/columns.js';
export { enums, structs } from '../abi/definition.js';
export type { ColumnDef, EnumDef, FieldDef, PlacedField, ScalarType, StructDef } from '../abi/types.js';
export * from './gen/abi.js';
