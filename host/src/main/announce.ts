// Owns the announcing of the targets in a node's configuration: they are recorded for the whole mesh under the node's UUID, and those it announced
// before and no longer has are taken back. Targets are not tied to the node's lease: an engine outlives the restart of its agent, and
// whether it answers is for health checks to say.
import { consensusError } from '@infermesh/fabric';
import type { LoadedConfig } from '../config/load.js';
import { storedOf } from '../mesh/target-sync.js';
import { recordKinds } from '../records/kinds.js';
import type { MeshState } from './mesh-state.js';
import { targetSpec } from './options.js';
import type { TargetService } from './target-service.js';

/** Resolves when they are recorded and known here; may be tried again. IM_TARGET_MODELS_UNKNOWN when one names no models and cannot be asked. */
export async function announceTargets(
	state: MeshState,
	targets: TargetService,
	{ config }: LoadedConfig,
	nodeId: string,
): Promise<void> {
	const { records } = state;
	const { items } = await records.list(recordKinds.targets);
	const wanted = new Map<string, ReturnType<typeof storedOf>>();
	for (const target of config.targets) {
		const spec = await targets.complete(targetSpec(target, config));
		wanted.set(spec.id, storedOf(spec, nodeId));
	}
	for (const { id, value } of items)
		if (value.announcedBy === nodeId && !wanted.has(id)) await records.remove(recordKinds.targets, id);
	for (const [id, next] of wanted)
		await records.update(recordKinds.targets, id, (present) => {
			const kept = { ...next, draining: present?.draining ?? false };
			return JSON.stringify(present) === JSON.stringify(kept) ? undefined : kept;
		});
	await state.until(
		() => [...wanted.keys()].every((id) => targets.registry.has(id) || state.targetSync.refusal(id) !== undefined),
		10_000,
		() =>
			consensusError('IM_CONSENSUS_TIMEOUT', 'the targets of the configuration were recorded and not heard of again'),
	);
	for (const id of wanted.keys()) {
		const refusal = state.targetSync.refusal(id);
		if (refusal !== undefined) throw refusal;
	}
}
