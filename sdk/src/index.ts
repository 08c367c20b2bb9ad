// Owns the public names of the SDK package.
export { columns } from '../abi/columns.js';
export { enums, structs } from '../abi/definition.js';
export type { ColumnDef, EnumDef, FieldDef, PlacedField, ScalarType, StructDef } from '../abi/types.js';
export { frameErrors } from './frame/errors.js';
export {
	type FrameLayout,
	type FrameOptions,
	type HeaderValues,
	LINKS_MAX,
	layoutFrame,
	PLAN_RANKS_MAX,
	placeFrame,
	ROW_CAPACITY_MAX,
	writeHeader,
} from './frame/layout.js';
export * from './gen/abi.js';
