// Owns a workload in memory for one seed: read from a trace or generated, cut to its segment, with LoRA adapters, tenants and priorities
// drawn over it. Everything random comes from the seed, so that all strategies meet the same requests at the same times.
import { SeededRandom } from '@infermesh/proto';
import { openTraceFile } from '../../load/trace/import.js';
import { type LengthOptions, type SyntheticOptions, syntheticTrace } from '../../load/trace/synthetic.js';
import type { TraceRequest, TraceSource } from '../../load/trace/types.js';
import type { GeneratorSpec, LengthSpec, Segment, WorkloadSpec } from '../scenario/document.js';
import type { Workload } from '../spec.js';

/** Streams of the seed; the generator itself uses 1 to 4. */
const LORA_STREAM = 11;
const TENANT_STREAM = 12;
const PRIORITY_STREAM = 13;

type WorkloadRequest = Workload['requests'][number];

/** Reads or makes the workload. Throws IM_TRACE_* with file, line and column. */
export async function openWorkload(spec: WorkloadSpec, seed: number, segment: Segment): Promise<Workload> {
	const source = await open(spec, seed);
	const requests: TraceRequest[] = [];
	for await (const request of source) {
		requests.push(request);
		if (requests.length >= spec.requestsMax) break;
	}
	const cut = requests.length >= spec.requestsMax && spec.trace !== undefined;
	const part = segmentOf(requests, segment);
	return {
		name: segment === 'all' ? source.name : `${source.name} (${segment.replace('_', ' ')})`,
		blockTokens: source.blockTokens,
		notes: [...source.notes(), ...(cut ? [`only the first ${requests.length} requests were taken`] : [])],
		requests: decorate(part, spec, seed),
	};
}

async function open(spec: WorkloadSpec, seed: number): Promise<TraceSource> {
	if (spec.trace === undefined) return syntheticTrace(generatorOptions(spec.generator, spec.requestsMax, seed));
	const { format, dequantise, defects } = spec;
	return openTraceFile(spec.trace, { format, dequantise, defects, seed });
}

/** The generator's own options. */
export function generatorOptions(spec: GeneratorSpec, requestsMax: number, seed: number): SyntheticOptions {
	const { arrivals } = spec;
	return {
		requests: Math.min(spec.requests, requestsMax),
		ratePerSecond: spec.ratePerS,
		arrivals: arrivals === 'gamma' || arrivals === 'weibull' ? { kind: arrivals, cv: spec.cv } : { kind: arrivals },
		input: lengths(spec.input),
		output: lengths(spec.output),
		seed,
		...(spec.diurnalAmplitude === 0
			? {}
			: { diurnal: { amplitude: spec.diurnalAmplitude, periodSeconds: spec.diurnalPeriodS } }),
		...(spec.prefixes === 0
			? {}
			: {
					prefixes: {
						count: spec.prefixes,
						share: spec.prefixShare,
						levels: spec.prefixLevels,
						skew: spec.prefixSkew,
					},
				}),
		...(spec.sessions === 0
			? {}
			: { sessions: { active: spec.sessions, turns: spec.turns, contextTokensMax: spec.input.tokensMax } }),
	};
}

function lengths(spec: LengthSpec): LengthOptions {
	if (spec.cv < 0.01) return { kind: 'fixed', tokens: Math.max(1, Math.round(spec.mean)) };
	return { kind: 'lognormal', mean: spec.mean, cv: spec.cv, tokensMax: spec.tokensMax };
}

/** A half by number of requests; times start again at 0. */
function segmentOf(requests: readonly TraceRequest[], segment: Segment): readonly TraceRequest[] {
	if (segment === 'all') return requests;
	const middle = Math.floor(requests.length / 2);
	if (segment === 'first_half') return requests.slice(0, Math.max(1, middle));
	const half = requests.slice(middle);
	const fromMs = half[0]?.atMs ?? 0;
	return half.map(({ atMs, ...rest }) => Object.assign(rest, { atMs: atMs - fromMs }));
}

function decorate(requests: readonly TraceRequest[], spec: WorkloadSpec, seed: number): readonly WorkloadRequest[] {
	const { loras, tenants, priorities } = spec;
	if (loras.names.length === 0 && tenants === 0 && priorities.length === 0) return requests;
	const lora = new SeededRandom(seed, LORA_STREAM);
	const tenant = new SeededRandom(seed, TENANT_STREAM);
	const priority = new SeededRandom(seed, PRIORITY_STREAM);
	const draw = <T>(from: readonly T[], random: SeededRandom): T | undefined =>
		from[Math.floor(random.nextFloat() * from.length)];
	return requests.map((request) => {
		const asked = lora.nextFloat() < loras.share ? draw(loras.names, lora) : undefined;
		const urgency = draw(priorities, priority);
		return {
			...request,
			...(asked === undefined ? {} : { lora: asked }),
			...(tenants === 0 ? {} : { tenant: `tenant-${1 + Math.floor(tenant.nextFloat() * tenants)}` }),
			...(urgency === undefined ? {} : { priority: urgency }),
		};
	});
}
