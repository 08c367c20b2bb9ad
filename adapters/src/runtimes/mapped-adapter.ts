// Owns the interpreter of runtime mappings: turns the data of vllm.ts, sglang.ts and their like into adapters.
import { deltaBounds, type ModelStateDelta, type RankState } from '@infermesh/proto';
import { labelOf, type MetricSamples, type Sample } from '../prometheus/samples.js';
import { WantedNames } from '../prometheus/wanted-names.js';
import type { Companion, RuntimeAdapter, RuntimeName, Scrape } from './adapter.js';
import { Draft } from './draft.js';
import { Increase, quantileOf } from './increase.js';
import {
	type CounterTerm,
	type GaugeRule,
	type HistogramRule,
	type Metric,
	type RateRule,
	type RatioRule,
	type RuntimeMapping,
	selectorOf,
} from './mapping.js';
import { processStartName, ScrapeView } from './view.js';

/** An adapter that reads a runtime as `mapping` describes it. */
export class MappedAdapter implements RuntimeAdapter {
	readonly name: RuntimeName;
	readonly companions: readonly Companion[];
	readonly #mapping: RuntimeMapping;
	#wanted: WantedNames | undefined;

	constructor(mapping: RuntimeMapping, companions: readonly Companion[] = []) {
		this.name = mapping.runtime;
		this.companions = companions;
		this.#mapping = mapping;
	}

	get wanted(): WantedNames {
		this.#wanted ??= new WantedNames([
			processStartName,
			...this.#mapping.prefixes.flatMap((prefix) => namesOf(this.#mapping).map((name) => prefix + name)),
		]);
		return this.#wanted;
	}

	detect(body: string): boolean {
		return (this.#mapping.knownBy ?? this.#mapping.prefixes).some(
			(begin) => body.startsWith(begin) || body.includes(`\n${begin}`) || body.includes(`# TYPE ${begin}`),
		);
	}

	recognises(samples: MetricSamples): boolean {
		for (const name of samples.byName.keys()) if (name !== processStartName) return true;
		return false;
	}

	read(current: Scrape, previous?: Scrape): ModelStateDelta {
		const view = (current.view ??= new ScrapeView(current.samples, this.#mapping));
		const draft = new Draft(current.atMs, this.name);
		this.#problems(view, draft);
		this.#values(view, draft);
		if (previous !== undefined && current.atMs > previous.atMs && this.recognises(previous.samples)) {
			const before = (previous.view ??= new ScrapeView(previous.samples, this.#mapping));
			this.#compare(view, before, current.atMs - previous.atMs, draft);
		}
		for (const rule of this.#mapping.gauges) if (rule.use === 'fallback') fallback(view, rule, draft);
		return draft.finish();
	}

	#problems(view: ScrapeView, draft: Draft): void {
		const { samples } = view;
		if (!this.recognises(samples)) draft.unread(`body: no metric of ${this.name} in ${samples.lines} lines`);
		for (const { kind, line, name } of samples.problems)
			draft.unread(`${name === '' ? 'body' : name}: ${kind} at line ${line}`);
		const more = samples.problemCount - samples.problems.length;
		if (more > 0) draft.unread(`body: ${more} more problems`);
	}

	/** What one scrape tells by itself. */
	#values(view: ScrapeView, draft: Draft): void {
		const { gauges, totals, modelsFrom, modelLabel, rankLabel } = this.#mapping;
		for (const rule of gauges) if (rule.use !== 'fallback') gauge(view, rule, draft);
		for (const { signal, anyOf } of totals) {
			const name = view.firstOf(anyOf);
			if (name !== undefined) draft.count(signal, sum(view.series(name)));
		}
		const source = view.firstOf(modelsFrom);
		if (source !== undefined) draft.models(view.every(source).map((sample) => labelOf(sample, modelLabel)));
		if (rankLabel !== '') draft.ranks(ranksOf(view, gauges, rankLabel));
		this.#mapping.derive?.(view, draft);
	}

	/** What two scrapes tell together. */
	#compare(view: ScrapeView, before: ScrapeView, intervalMs: number, draft: Draft): void {
		const increase = new Increase(view, before);
		for (const rule of this.#mapping.rates) rate(view, increase, rule, intervalMs, draft);
		for (const rule of this.#mapping.ratios) ratio(view, increase, rule, draft);
		for (const rule of this.#mapping.histograms) histogram(view, increase, rule, draft);
		draft.interval(intervalMs, increase.restarted);
	}
}

/** Every metric name a mapping mentions, without prefix, each once. */
function namesOf(mapping: RuntimeMapping): readonly string[] {
	const names = new Set<string>([...mapping.modelsFrom, ...(mapping.derivedFrom ?? [])]);
	const add = (list: readonly Metric[]): void => {
		for (const metric of list) names.add(selectorOf(metric).name);
	};
	for (const rule of mapping.gauges)
		for (const list of [rule.anyOf, ...(rule.plus ?? []), ...(rule.minus ?? [])]) add(list);
	for (const rule of mapping.totals) add(rule.anyOf);
	for (const rule of mapping.rates) for (const term of rule.anyOf) add(namesOfTerm(term));
	for (const rule of mapping.ratios) for (const term of rule.anyOf) add([...term.part, ...term.whole]);
	for (const rule of mapping.histograms)
		for (const name of rule.anyOf)
			add([...(rule.p95Ms === undefined ? [] : [`${name}_bucket`]), `${name}_sum`, `${name}_count`]);
	return [...names];
}

function namesOfTerm(term: CounterTerm): readonly string[] {
	return [...term.plus, ...(term.minus ?? [])].map((selector) => selector.name);
}

function sum(series: readonly Sample[]): number {
	return series.reduce((total, sample) => total + sample.value, 0);
}

/** The first alternative present. */
function pick(view: ScrapeView, metrics: readonly Metric[]): Metric | undefined {
	return metrics.find((metric) => (typeof metric === 'string' ? view.has(metric) : view.all(metric).length > 0));
}

function nameOf(metric: Metric): string {
	const { name, where } = selectorOf(metric);
	return where === undefined ? name : `${name}${JSON.stringify(where)}`;
}

function gauge(view: ScrapeView, rule: GaugeRule, draft: Draft): void {
	const metric = pick(view, rule.anyOf);
	if (metric === undefined) {
		if (rule.use === 'always') draft.unread(`${rule.signal}: none of ${rule.anyOf.map(nameOf).join(', ')}`);
		return;
	}
	if (view.all(selectorOf(metric)).some((sample) => !Number.isFinite(sample.value))) {
		draft.unread(`${rule.signal}: ${nameOf(metric)} is not a finite number`);
		return;
	}
	set(
		draft,
		rule,
		fold(view, rule, metric, () => true),
	);
}

/** The value of a rule over the series of `metric`, and of its further metrics, that `kept` keeps. */
function fold(view: ScrapeView, rule: GaugeRule, metric: Metric, kept: (sample: Sample) => boolean): number {
	const scale = rule.scale ?? 1;
	if (rule.fold === 'max') {
		const most = view.all(selectorOf(metric)).reduce((top, s) => (kept(s) ? Math.max(top, s.value) : top), -Infinity);
		return most * scale;
	}
	const of = (chosen: Metric): number => sum(view.select(selectorOf(chosen)).filter(kept));
	let total = of(metric);
	for (const alternatives of rule.plus ?? []) {
		const other = pick(view, alternatives);
		if (other !== undefined) total += of(other);
	}
	for (const alternatives of rule.minus ?? []) {
		const other = pick(view, alternatives);
		if (other !== undefined) total = Math.max(0, total - of(other));
	}
	return total * scale;
}

function set(draft: Draft, rule: GaugeRule, value: number): void {
	if (rule.range === 'ratio') draft.ratio(rule.signal, value);
	else draft.count(rule.signal, value);
}

/** A gauge that stands in for counters an older version does not have. Negative values mean "unknown" there. */
function fallback(view: ScrapeView, rule: GaugeRule, draft: Draft): void {
	const metric = pick(view, rule.anyOf);
	if (metric === undefined || draft.get(rule.signal) !== undefined) return;
	const value = fold(view, rule, metric, () => true);
	if (value >= 0) set(draft, rule, value);
}

const rankSignals = ['queueDepth', 'running', 'kvUsage', 'kvBlocksTotal', 'kvBlocksFree'] as const;

/** The signals of each data-parallel rank, where a body tells more than one apart. */
function ranksOf(view: ScrapeView, gauges: readonly GaugeRule[], label: string): readonly RankState[] {
	const ranks = new Map<number, { rank: number } & { [K in (typeof rankSignals)[number]]?: number }>();
	for (const rule of gauges) {
		const signal = rankSignals.find((known) => known === rule.signal);
		const metric = signal === undefined ? undefined : pick(view, rule.anyOf);
		if (signal === undefined || metric === undefined) continue;
		const numbers = new Set(view.all(selectorOf(metric)).map((sample) => labelOf(sample, label)));
		for (const text of numbers) {
			const rank = /^\d{1,6}$/.test(text) ? Number(text) : -1;
			const value = fold(view, rule, metric, (sample) => labelOf(sample, label) === text);
			if (rank < 0 || !(value >= 0) || !Number.isFinite(value)) continue;
			const state = ranks.get(rank) ?? { rank };
			state[signal] = value;
			if (ranks.size < deltaBounds.ranksMax) ranks.set(rank, state);
		}
	}
	return ranks.size < 2 ? [] : [...ranks.values()].sort((a, b) => a.rank - b.rank);
}

function rate(view: ScrapeView, increase: Increase, rule: RateRule, intervalMs: number, draft: Draft): void {
	const term = rule.anyOf.find((candidate) => namesOfTerm(candidate).every((name) => view.has(name)));
	if (term === undefined) return;
	const more = increase.counters(term.plus);
	const less = increase.counters(term.minus ?? []);
	if (more !== undefined && less !== undefined)
		draft.count(rule.signal, (Math.max(0, more - less) * 1000) / intervalMs);
}

function ratio(view: ScrapeView, increase: Increase, rule: RatioRule, draft: Draft): void {
	const term = rule.anyOf.find(({ part, whole }) => [...part, ...whole].every(({ name }) => view.has(name)));
	if (term === undefined) return;
	const part = increase.counters(term.part);
	const whole = increase.counters(term.whole);
	if (part === undefined || whole === undefined || !(whole > 0)) return;
	if (rule.scale !== undefined) draft.count(rule.signal, (part / whole) * rule.scale);
	// The two counters of a pair are not read at one instant, so the part may run ahead of the whole.
	else draft.ratio(rule.signal, Math.min(1, part / whole));
}

function histogram(view: ScrapeView, increase: Increase, rule: HistogramRule, draft: Draft): void {
	const name = rule.anyOf.find((candidate) => view.has(`${candidate}_count`));
	if (name === undefined) return;
	if (rule.p95Ms === undefined) {
		const not = rule.not ?? {};
		const sum = increase.counter({ name: `${name}_sum`, not });
		const count = increase.counter({ name: `${name}_count`, not });
		if (sum !== undefined && count !== undefined && count > 0) draft.count(rule.meanMs, (sum / count) * rule.unitMs);
		return;
	}
	const grown = increase.histogram(name, rule.not ?? {});
	if (grown === undefined || !(grown.count > 0)) return;
	draft.count(rule.meanMs, (grown.sum / grown.count) * rule.unitMs);
	const p95 = quantileOf(grown, 0.95);
	if (p95 !== undefined) draft.count(rule.p95Ms, p95 * rule.unitMs);
}
