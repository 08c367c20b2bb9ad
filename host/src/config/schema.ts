// Owns the configuration of the mesh as a whole: its sections, each in a file of schema/ with every number’s default, unit and meaning, are put together to the one
// schema from which types, validation and docs/config.md come. Leaves reading to load.ts and what values mean together to rules.ts. Keys are snake_case, units last.
import type { Static } from 'typebox';
import { Type } from '../schema/type.js';
import { list, text } from './fields.js';
import { adminSchema, keySchema } from './schema/access.js';
import { dataSchema } from './schema/data.js';
import { capacitySchema, fleetSchema, healthSchema, outlierSchema, scrapeSchema } from './schema/fleet.js';
import { consensusSchema, fabricSchema, nodeRoles, nodeSchema } from './schema/mesh.js';
import { modelsSchema } from './schema/models.js';
import { adapterSchema, gpuSchema, reportsSchema } from './schema/signals.js';
import { recorderSchema, strategySchema } from './schema/strategy.js';
import { discoverySchema, targetSchema } from './schema/targets.js';
import { telemetrySchema } from './schema/telemetry.js';

export const configSchema = Type.Object(
	{
		state_dir: text('.infermesh', 'Folder for the state of the mesh: admin token, loaded strategies.'),
		node: nodeSchema,
		roles: Type.Array(Type.Enum([...nodeRoles]), {
			default: [...nodeRoles],
			minItems: 1,
			maxItems: 5,
			uniqueItems: true,
			description:
				'What runs on this node: `router` (data plane), `coordinator` (votes in Raft, schedules), `gpu` (announces its targets and watches over them), `trainer` (joins and is seen), `edge` (a router near users). Agent, gossip and admin API run on every node; ports of what does not run are not opened.',
		}),
		fabric: fabricSchema,
		consensus: consensusSchema,
		data: dataSchema,
		admin: adminSchema,
		targets: list(targetSchema, 'Upstreams known at start; `infermesh target add` adds more.', 16_384),
		discovery: discoverySchema,
		keys: list(keySchema, 'API keys of the data plane; empty = no key asked, loopback only.', 4096),
		models: modelsSchema,
		strategy: strategySchema,
		recorder: recorderSchema,
		fleet: fleetSchema,
		scrape: scrapeSchema,
		health: healthSchema,
		outlier: outlierSchema,
		adapters: list(adapterSchema, 'Adapters of collectives, networks and stores that this node runs.', 64),
		reports: reportsSchema,
		gpu: gpuSchema,
		capacity: capacitySchema,
		telemetry: telemetrySchema,
	},
	{ additionalProperties: false, default: {} },
);

type Frozen<T> = T extends readonly (infer U)[]
	? readonly Frozen<U>[]
	: T extends object
		? { readonly [K in keyof T]: Frozen<T[K]> }
		: T;

/** The whole configuration with defaults filled in and secrets resolved. */
export type MeshConfig = Frozen<Static<typeof configSchema>>;

export type TargetConfig = MeshConfig['targets'][number];

export type DiscoveryFileConfig = MeshConfig['discovery']['files'][number];

export type DiscoveryDnsConfig = MeshConfig['discovery']['dns'][number];

export type KeyConfig = MeshConfig['keys'][number];
