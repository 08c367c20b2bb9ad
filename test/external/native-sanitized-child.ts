// Owns the process in which the addon of native strategies runs under sanitizers: decisions and failures, in a sandbox and inline. Arguments: project
// folder of a strategy, addon. A sanitizer that finds something ends the process.
import {
	createRig,
	Decision,
	fuelDefaults,
	type NativeCode,
	prepareStrategy,
	readOutput,
	StrategyInstance,
} from '@infermesh/host';
import { REQUEST_TOKENS_OUT_MAX_WORD } from '@infermesh/sdk';
import { makeRing, writeFrame } from '../bench/subjects.js';

const [project = '', addon = ''] = process.argv.slice(2);
const { module } = await prepareStrategy(project);
const code = module.module as NativeCode;
const rig = createRig(129, 7);
const ring = makeRing(rig);
const out = new Decision();
const ended: Record<string, number> = {};

for (const native of ['inline', 'process'] as const) {
	const strategy = { ...module, module: { ...code, native, engine: { ...code.engine, addon } } };
	for (let i = 0; i < 20; i++) {
		const instance = new StrategyInstance(
			{ ...strategy, digest: `${module.digest}-${i}` },
			rig.view,
			fuelDefaults,
			[1, 2],
		);
		for (let at = 0; at < 20; at++) {
			writeFrame(instance, ring, at);
			const cause = instance.rank();
			const read = cause === 'none' ? readOutput(instance, [], out) : cause;
			ended[read] = (ended[read] ?? 0) + 1;
		}
		if (native === 'process') {
			writeFrame(instance, ring, i);
			instance.u32[instance.requestWord + REQUEST_TOKENS_OUT_MAX_WORD] = 6661 + (i % 3);
			const cause = instance.rank();
			ended[cause] = (ended[cause] ?? 0) + 1;
		}
		instance.close();
		instance.close();
	}
}
process.stdout.write(`${JSON.stringify(ended)}\n`);
