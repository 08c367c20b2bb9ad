// Owns what this node knows from reports of collectives and stores, from its own adapters and from outside alike: the newest of each origin, and the
// degradations that follow. The training scheduler and the API read it here.
import type { Clock, CommStatsDelta, IoStateDelta, LinkStat, Timer } from '@infermesh/proto';
import { commVerdicts, ioVerdicts, type RuleOptions } from './degradation-rules.js';
import { type Degradation, Degradations, type Verdict } from './degradations.js';
import { type Aged, LatestBook } from './latest-book.js';
import type { ReportOrigin } from './sinks.js';

export interface ReportsOptions {
	readonly originsMax: number;
	readonly staleAfterMs: number;
	readonly forgetAfterMs: number;
	readonly clearAfterMs: number;
	readonly degradationsMax: number;
	readonly rules: RuleOptions;
}

export interface ReportsPorts {
	readonly clock: Clock;
	/** Degradations were raised or cleared. */
	readonly degraded: (inForce: readonly Degradation[]) => void;
}

/** What nobody reports of is looked for this often. */
const SWEEP_MS = 10_000;
/** Links remembered as having been up. */
const LINKS_MAX = 4096;
const LOCAL: Pick<ReportOrigin, 'caller' | 'adapter'> = { caller: 'local', adapter: 'local' };

export class Reports {
	readonly #options: ReportsOptions;
	readonly #ports: ReportsPorts;
	readonly #comm: LatestBook<CommStatsDelta>;
	readonly #io: LatestBook<IoStateDelta>;
	readonly #degradations: Degradations;
	readonly #upOnce = new Set<string>();
	#sweeping: Timer | undefined;

	constructor(options: ReportsOptions, ports: ReportsPorts) {
		this.#options = options;
		this.#ports = ports;
		this.#comm = new LatestBook(options, ports.clock);
		this.#io = new LatestBook(options, ports.clock);
		this.#degradations = new Degradations({ ...options, followedMax: options.degradationsMax });
	}

	/** Takes a report of collectives or links. */
	comm(delta: CommStatsDelta, origin: Pick<ReportOrigin, 'caller' | 'adapter'> = LOCAL): void {
		const key = ['comm', delta.source, delta.node ?? '', delta.jobId ?? ''].join('\u0000');
		this.#comm.put(key, { value: delta, observedAtMs: delta.observedAtMs, ...named(origin) });
		const verdicts = commVerdicts(delta, this.#options.rules, (link) => this.#wasUp(delta.node ?? '', link));
		this.#judge(key, verdicts);
	}

	/** Takes a report of a store. */
	io(delta: IoStateDelta, origin: Pick<ReportOrigin, 'caller' | 'adapter'> = LOCAL): void {
		const { source, store, node = '', jobId = '', rank = '' } = delta;
		const key = ['io', source, store, node, jobId, rank].join('\u0000');
		this.#io.put(key, { value: delta, observedAtMs: delta.observedAtMs, ...named(origin) });
		this.#judge(key, ioVerdicts(delta, this.#options.rules));
	}

	/** The newest report of each source, node and job. */
	commReports(): readonly Aged<CommStatsDelta>[] {
		return this.#comm.all();
	}

	/** The newest report of each store, node, job and rank. */
	ioReports(): readonly Aged<IoStateDelta>[] {
		return this.#io.all();
	}

	degradations(): readonly Degradation[] {
		return this.#degradations.inForce();
	}

	close(): void {
		this.#sweeping?.cancel();
	}

	#wasUp(node: string, { device, port, up }: LinkStat): boolean {
		const key = [node, device, port].join('\u0000');
		if (up === true && this.#upOnce.size < LINKS_MAX) this.#upOnce.add(key);
		return this.#upOnce.has(key);
	}

	#judge(origin: string, verdicts: readonly Verdict[]): void {
		const { clock } = this.#ports;
		// The timer runs only where something was ever reported.
		this.#sweeping ??= clock.every(SWEEP_MS, () => this.#sweep(), { unref: true });
		if (this.#degradations.look(origin, verdicts, Math.floor(clock.wallMs()))) this.#tell();
	}

	#sweep(): void {
		if (this.#degradations.sweep(Math.floor(this.#ports.clock.wallMs()))) this.#tell();
	}

	#tell(): void {
		this.#ports.degraded(this.#degradations.inForce());
	}
}

const named = ({ caller, adapter }: Pick<ReportOrigin, 'caller' | 'adapter'>) => ({ caller, adapter });
