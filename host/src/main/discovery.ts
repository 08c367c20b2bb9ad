// The joining of discovery with the mesh's records: what a source lists is recorded like what an operator adds, and followed by every router.
import { resolve4, resolve6, resolveSrv } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import type { Clock, Random } from '@infermesh/proto';
import type { MeshConfig, TargetConfig } from '../config/schema.js';
import { type DiscoveryMetrics, SourceFollower } from '../discovery/follower.js';
import { dnsSource, fileSource, type Resolver, type SourcePorts } from '../discovery/sources.js';
import { sameSpec, specOf, storedOf } from '../mesh/target-sync.js';
import { recordKinds, type StoredTarget } from '../records/kinds.js';
import type { Log } from '../telemetry/logger.js';
import type { MeshState } from './mesh-state.js';
import { targetSpec } from './options.js';
import type { TargetService } from './target-service.js';

export interface DiscoveryParts {
	readonly config: MeshConfig;
	readonly state: MeshState;
	readonly targets: TargetService;
	readonly clock: Clock;
	readonly random: Random;
	readonly metrics: DiscoveryMetrics;
	readonly log: Log;
}

/** DNS says that there is no such name, or nothing of the kind asked for: an answer, and an empty one. */
const EMPTY = new Set(['ENOTFOUND', 'ENODATA']);

async function orEmpty<T>(asked: Promise<readonly T[]>): Promise<readonly T[]> {
	try {
		return await asked;
	} catch (error) {
		if (EMPTY.has((error as NodeJS.ErrnoException).code ?? '')) return [];
		throw error;
	}
}

const resolver: Resolver = {
	async addresses(name) {
		const [four, six] = await Promise.all([orEmpty(resolve4(name)), orEmpty(resolve6(name))]);
		return [...four, ...six];
	},
	services: async (name) => (await orEmpty(resolveSrv(name))).map(({ name: host, port }) => ({ host, port })),
};

/** Begins to follow the sources of the configuration; call the result to end. */
export function followSources(parts: DiscoveryParts): () => void {
	const { files, dns, targets_max, remove_after_ms } = parts.config.discovery;
	const ports: SourcePorts = {
		readText: (path) => readFile(path, 'utf8'),
		readSecret: (path) => readFileSync(path, 'utf8'),
		env: process.env,
		resolver,
	};
	const sources = [...files.map((file) => fileSource(file, ports)), ...dns.map((name) => dnsSource(name, ports))];
	const { clock, random, metrics, log } = parts;
	const options = { targetsMax: targets_max, removeAfterMs: remove_after_ms };
	const followers = sources.map(
		(source) =>
			new SourceFollower(source, options, {
				clock,
				random,
				metrics,
				...recording(parts),
				failed: (name, error) => log.warn({ source: name, code: error.code, error: error.message }, 'discovery'),
			}),
	);
	for (const follower of followers) void follower.start();
	return () => {
		for (const follower of followers) follower.close();
	};
}

/** The mirror says what is recorded; the store is asked only when something is to change. */
function recording({ config, state, targets }: DiscoveryParts) {
	const { records } = state;
	const change = async (id: string, source: string, to: (present: StoredTarget) => StoredTarget): Promise<void> => {
		await records.update(recordKinds.targets, id, (present) => (present?.source === source ? to(present) : undefined));
	};
	return {
		recorded: () =>
			Promise.resolve(
				state.targets.all().map(({ id, value }) => ({ id, source: value.source, missing: value.missing === true })),
			),
		async write(target: TargetConfig, source: string) {
			const described = targetSpec(target, config);
			const present = state.targets.get(described.id)?.value;
			// An engine that was asked for its models is not asked again while it stays where it is.
			const known = present !== undefined && described.models.length === 0 && present.spec.url === described.url;
			const spec = known ? { ...described, models: present.spec.models } : await targets.complete(described);
			const next: StoredTarget = { ...storedOf(spec, undefined), source };
			const same = (stored: StoredTarget): boolean =>
				stored.source === source && stored.missing !== true && sameSpec(specOf(stored), specOf(next));
			if (present !== undefined && same(present)) return;
			await records.update(recordKinds.targets, spec.id, (stored) => {
				if (stored === undefined) return next;
				return stored.source !== source || same(stored) ? undefined : { ...next, draining: stored.draining };
			});
		},
		miss: (id: string, source: string) => change(id, source, (present) => ({ ...present, missing: true })),
		async remove(id: string, source: string) {
			if (state.targets.get(id)?.value.source === source) await records.remove(recordKinds.targets, id);
		},
	};
}
