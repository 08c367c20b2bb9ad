// The composition of what routers have counted of experiments: each serves its own to the others, and whoever runs an experiment reads all of them at once.
import { Metadata } from '@grpc/grpc-js';
import { meshErrorOf, topologyErrors } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';
import { type ExperimentsServer, ExperimentsService } from '@infermesh/proto/grpc/experiments/v1/experiments';
import { ExperimentsClient } from '@infermesh/proto/grpc/experiments/v1/experiments-client';
import { fromReply, type ReadingAsk, type RouterReading, toReply } from '../experiments/telemetry/reading.js';
import type { RouterTelemetry } from '../experiments/telemetry/router-telemetry.js';
import { askAll } from '../mesh/ask-all.js';
import type { NodeRecord } from '../records/kinds.js';
import type { MeshFabric } from './fabric.js';
import { routes } from './options.js';

/** A router that does not answer in this time is missing from this look; the next one asks it again. */
const READ_TIMEOUT_MS = 800;

export interface ExperimentReadingsParts {
	readonly clock: Clock;
	readonly fabric: Pick<MeshFabric, 'nodeId' | 'server' | 'peer' | 'members'>;
	/** Of the router that runs here; undefined where none does. */
	readonly own: RouterTelemetry | undefined;
	readonly nodes: () => readonly NodeRecord[];
}

/** What all routers answered, by UUID of their node; undefined for one that did not. */
export type Readings = ReadonlyMap<string, RouterReading | undefined>;

export class ExperimentReadings {
	readonly #parts: ExperimentReadingsParts;

	constructor(parts: ExperimentReadingsParts) {
		this.#parts = parts;
		const { own, fabric } = parts;
		if (own !== undefined) fabric.server?.addService(ExperimentsService, { ...handlers(own) });
	}

	/** Never rejects. */
	async read(ask: ReadingAsk): Promise<Readings> {
		const { fabric, own, nodes } = this.#parts;
		const readings = new Map<string, RouterReading | undefined>();
		// A router that gossip calls dead is gone, not silent, although its record lives on until its lease ends.
		const gone = new Set(
			fabric
				.members()
				.filter(({ state }) => state === 'failed' || state === 'left')
				.map(({ id }) => id),
		);
		const routers = nodes().filter((node) => routes(node) && !gone.has(node.id));
		await askAll(routers, async ({ id }) => {
			try {
				readings.set(id, id === fabric.nodeId ? own?.read(ask) : await this.#remote(id, ask));
			} catch {
				// Away, or just starting: a look without it says so.
				readings.set(id, undefined);
			}
		});
		return readings;
	}

	#remote(nodeId: string, ask: ReadingAsk): Promise<RouterReading> {
		const { fabric, clock } = this.#parts;
		const lease = fabric.peer(nodeId);
		const reply = new Promise<RouterReading>((resolve, reject) =>
			lease
				.client(ExperimentsClient)
				.read({ ...ask }, new Metadata(), { deadline: clock.wallMs() + READ_TIMEOUT_MS }, (error, answer) =>
					error === null ? resolve(fromReply(answer)) : reject(meshErrorOf(error, topologyErrors)),
				),
		);
		return reply.finally(() => lease.release());
	}
}

function handlers(own: RouterTelemetry): ExperimentsServer {
	return { read: ({ request }, done) => done(null, toReply(own.read(request))) };
}
