// Owns the public names of the SDK package.
export { columns } from '../abi/columns.js';
export { structs } from '../abi/definition.js';
export { enums } from '../abi/enums.js';
export { type HookDef, hooks } from '../abi/hooks.js';
export type { ColumnDef, EnumDef, FieldDef, PlacedField, ScalarType, StructDef } from '../abi/types.js';
export type { Diagnostic } from './build/asc.js';
export { cSdkDir } from './build/build-c.js';
export { buildPlugins, type PluginBuild, pluginDirs } from './build/build-plugins.js';
export {
	type BuildOptions,
	type BuiltStrategy,
	buildStrategy,
	sdkDirOf,
	sdkSourceDir,
} from './build/build-strategy.js';
export { buildErrors } from './build/errors.js';
export { givenWasi } from './build/wasi.js';
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
export { checkManifest, type ManifestProblem, type ManifestResult, manifestDocument } from './manifest/check.js';
export { type ConfigValues, encodeConfig } from './manifest/config.js';
export { manifestErrors } from './manifest/errors.js';
export { loadManifest, MANIFEST_FILE, parseManifest } from './manifest/load.js';
export {
	type BuildTarget,
	buildTargets,
	type ConfigEntry,
	type ConfigType,
	type HookName,
	type ManifestDocument,
	manifestSchema,
	STRATEGY_NAME_PATTERN,
	type StrategyManifest,
} from './manifest/schema.js';
export { MANIFEST_SECTION, parseManifestJson, readManifest, writeManifestSection } from './manifest/section.js';
export { didYouMean, nearestName } from './manifest/suggest.js';
export {
	createFrame,
	FrameView,
	type FrameViewOptions,
	type HitValues,
	type RequestValues,
	type RowValues,
} from './testkit/frame-view.js';
export { buildFleet, createKit, type KitAnswer, type KitMachine, StrategyKit } from './testkit/kit.js';
