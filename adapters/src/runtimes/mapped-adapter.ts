// Owns the interpreter of runtime mappings: turns the data of vllm.ts and sglang.ts into adapters.
import type { ModelStateDelta } from '@infermesh/proto';
import { labelOf, type MetricSamples } from '../prometheus/samples.js';
import type { RuntimeAdapter, RuntimeName, Scrape } from './adapter.js';
import { Draft } from './draft.js';
import { Increase, quantileOf } from './increase.js';
import type { CounterTerm, GaugeRule, HistogramRule, RateRule, RatioRule, RuntimeMapping } from './mapping.js';
import { processStartName, ScrapeView } from './view.js';

/** An adapter that reads a runtime as `mapping` describes it. */
export class MappedAdapter implements RuntimeAdapter {
	readonly name: RuntimeName;
	readonly wantedNames: readonly string[];
	readonly #mapping: RuntimeMapping;

	constructor(mapping: RuntimeMapping) {
		this.name = mapping.runtime;
		this.#mapping = mapping;
		this.wantedNames = [
			processStartName,
			...mapping.prefixes.flatMap((prefix) => namesOf(mapping).map((n) => prefix + n)),
		];
	}

	detect(body: string): boolean {
		return this.#mapping.prefixes.some(
			(prefix) => body.startsWith(prefix) || body.includes(`\n${prefix}`) || body.includes(`# TYPE ${prefix}`),
		);
	}

	recognises(samples: MetricSamples): boolean {
		for (const name of samples.byName.keys()) if (name !== processStartName) return true;
		return false;
	}

	read(current: Scrape, previous?: Scrape): ModelStateDelta {
		const view = new ScrapeView(current.samples, this.#mapping);
		const draft = new Draft(current.atMs);
		this.#problems(view, draft);
		this.#values(view, draft);
		if (previous !== undefined && current.atMs > previous.atMs && this.recognises(previous.samples)) {
			const before = new ScrapeView(previous.samples, this.#mapping);
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
		const { gauges, totals, modelsFrom } = this.#mapping;
		for (const rule of gauges) if (rule.use === 'always') gauge(view, rule, draft);
		for (const { signal, anyOf } of totals) {
			const name = view.firstOf(anyOf);
			if (name !== undefined) draft.count(signal, sum(view, name));
		}
		const source = view.firstOf(modelsFrom);
		if (source !== undefined) draft.models(view.every(source).map((sample) => labelOf(sample, 'model_name')));
		this.#mapping.derive(view, draft);
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
	const names = new Set<string>([...mapping.modelsFrom, ...mapping.derivedFrom]);
	const add = (list: readonly string[]): void => {
		for (const name of list) names.add(name);
	};
	for (const rule of mapping.gauges) {
		add(rule.anyOf);
		for (const alternatives of rule.plus ?? []) add(alternatives);
	}
	for (const rule of mapping.totals) add(rule.anyOf);
	for (const rule of mapping.rates) for (const term of rule.anyOf) add(namesOfTerm(term));
	for (const rule of mapping.ratios)
		for (const term of rule.anyOf) add([...term.part, ...term.whole].map((selector) => selector.name));
	for (const rule of mapping.histograms)
		for (const name of rule.anyOf) add([`${name}_bucket`, `${name}_sum`, `${name}_count`]);
	return [...names];
}

function namesOfTerm(term: CounterTerm): readonly string[] {
	return [...term.plus, ...(term.minus ?? [])].map((selector) => selector.name);
}

function sum(view: ScrapeView, name: string): number {
	return view.series(name).reduce((total, sample) => total + sample.value, 0);
}

function gauge(view: ScrapeView, rule: GaugeRule, draft: Draft): void {
	const name = view.firstOf(rule.anyOf);
	if (name === undefined) {
		draft.unread(`${rule.signal}: none of ${rule.anyOf.join(', ')}`);
		return;
	}
	if (view.every(name).some((sample) => !Number.isFinite(sample.value))) {
		draft.unread(`${rule.signal}: ${name} is not a finite number`);
		return;
	}
	set(draft, rule, fold(view, rule, name));
}

function fold(view: ScrapeView, rule: GaugeRule, name: string): number {
	if (rule.fold === 'max') return view.every(name).reduce((most, sample) => Math.max(most, sample.value), -Infinity);
	let total = sum(view, name);
	for (const alternatives of rule.plus ?? []) {
		const other = view.firstOf(alternatives);
		if (other !== undefined) total += sum(view, other);
	}
	return total;
}

function set(draft: Draft, rule: GaugeRule, value: number): void {
	if (rule.range === 'ratio') draft.ratio(rule.signal, value);
	else draft.count(rule.signal, value);
}

/** A gauge that stands in for counters an older version does not have. Negative values mean "unknown" there. */
function fallback(view: ScrapeView, rule: GaugeRule, draft: Draft): void {
	const name = view.firstOf(rule.anyOf);
	if (name === undefined || draft.get(rule.signal) !== undefined) return;
	const value = fold(view, rule, name);
	if (value >= 0) set(draft, rule, value);
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
	// The two counters of a pair are not read at one instant, so the part may run ahead of the whole.
	if (part !== undefined && whole !== undefined && whole > 0) draft.ratio(rule.signal, Math.min(1, part / whole));
}

function histogram(view: ScrapeView, increase: Increase, rule: HistogramRule, draft: Draft): void {
	const name = rule.anyOf.find((candidate) => view.has(`${candidate}_bucket`));
	if (name === undefined) return;
	const grown = increase.histogram(name, rule.not ?? {});
	if (grown === undefined || !(grown.count > 0)) return;
	draft.count(rule.meanMs, (grown.sum / grown.count) * 1000);
	const p95 = quantileOf(grown, 0.95);
	if (p95 !== undefined) draft.count(rule.p95Ms, p95 * 1000);
}
