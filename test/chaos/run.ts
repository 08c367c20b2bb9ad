// Owns one run: the mesh, the load, the nemesis, the last judgement, and taking all of it down again, also when it is interrupted.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { SeededRandom } from '@infermesh/proto';
import { program } from '../support/programs.js';
import { diskFaults } from './nemesis/disk-faults.js';
import { kernelFaults } from './nemesis/kernel-faults.js';
import { type FaultRecord, Nemesis } from './nemesis/nemesis.js';
import { networkFaults } from './nemesis/network-faults.js';
import { operatorFaults } from './nemesis/operator-faults.js';
import { processFaults } from './nemesis/process-faults.js';
import { ChaosMesh, loopbackPlaces } from './nodes/mesh.js';
import { Namespaces } from './nodes/namespaces.js';
import { Configuration } from './workload/configuration.js';
import { Findings, type Violation } from './workload/findings.js';
import { Ledger } from './workload/ledger.js';
import { Lock } from './workload/lock.js';
import { Registers } from './workload/registers.js';
import { Streams } from './workload/streams.js';
import { Watchers } from './workload/watchers.js';
import type { Damage, Workload, WorkloadContext } from './workload/workload.js';

export const faults = [...processFaults, ...networkFaults, ...diskFaults, ...operatorFaults, ...kernelFaults];

export interface RunOptions {
	readonly minutes: number;
	/** How often each fault comes, instead of a time. */
	readonly rounds: number | undefined;
	readonly seed: number;
	readonly nodes: number;
	readonly namespaces: boolean;
	readonly calmMs: number;
	readonly floorPerSecond: number;
	readonly only: readonly string[] | undefined;
	readonly allowMissing: boolean;
	readonly damages: ReadonlySet<Damage>;
	readonly keep: boolean;
	readonly progress: (line: string) => void;
	readonly signal: AbortSignal;
}

export interface RunReport {
	readonly seed: number;
	readonly nodes: number;
	readonly seconds: number;
	readonly interrupted: boolean;
	readonly violations: readonly Violation[];
	readonly violationsTotal: number;
	readonly faults: readonly FaultRecord[];
	/** Faults that could not be had, and why. */
	readonly missing: Readonly<Record<string, string>>;
	/** Answered operations a second of each calm. */
	readonly calms: readonly number[];
	readonly floorPerSecond: number;
	readonly completed: Readonly<Record<string, number>>;
	readonly errors: Readonly<Record<string, number>>;
	readonly histories: number;
	readonly ledger: number;
	readonly owners: number;
	readonly told: number;
	readonly streams: {
		readonly completed: number;
		readonly routerKilled: number;
		readonly refused: number;
		readonly dropped: number;
	};
	/** Logs and histories; undefined when nothing was kept. */
	readonly folder: string | undefined;
}

/** Of a whole run, against a calm one: faults and their healing take most of the time. */
const floorOfRun = 0.2;
const smallDiskMiB = 160;

/** A file system of its own for the state of the last node, so that it can be full. Undefined where mounting is not allowed. */
function mountSmallDisk(folder: string): string | undefined {
	if (process.getuid?.() !== 0) return undefined;
	mkdirSync(folder, { recursive: true });
	try {
		execFileSync(program('mount', 'mount'), ['-t', 'tmpfs', '-o', `size=${smallDiskMiB}m`, 'tmpfs', folder]);
		return folder;
	} catch {
		return undefined;
	}
}

export async function run(options: RunOptions): Promise<RunReport> {
	const { seed, nodes, progress } = options;
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-chaos-'));
	progress(
		`seed ${seed}, ${nodes} nodes, ${options.rounds === undefined ? `${options.minutes} minutes` : `${options.rounds} rounds`}; logs in ${folder}`,
	);
	const disk = mountSmallDisk(path.join(folder, `node-${nodes}`, 'state'));
	const namespaces = options.namespaces ? await Namespaces.open(nodes) : undefined;
	const findings = new Findings((what) => progress(`VIOLATION ${what}`));
	let kept = options.keep;
	try {
		const report = await observed(options, folder, disk === undefined ? undefined : nodes - 1, namespaces, findings);
		kept ||= report.violationsTotal > 0;
		return { ...report, folder: kept ? folder : undefined };
	} catch (error) {
		kept ||= !options.signal.aborted;
		throw new Error(`${error instanceof Error ? error.message : String(error)} (logs in ${folder})`, { cause: error });
	} finally {
		await namespaces?.close();
		if (disk !== undefined) execFileSync(program('umount', 'mount'), ['-l', disk]);
		if (!kept) rmSync(folder, { recursive: true, force: true });
	}
}

async function observed(
	options: RunOptions,
	folder: string,
	smallDisk: number | undefined,
	namespaces: Namespaces | undefined,
	findings: Findings,
): Promise<RunReport> {
	const { seed, nodes, progress, signal } = options;
	const mesh = await ChaosMesh.open({
		folder,
		seed,
		places: namespaces?.places ?? loopbackPlaces(nodes),
		progress,
		onDeath: (how) => findings.violation(how),
		signal,
	});
	try {
		const load = new AbortController();
		const context: WorkloadContext = {
			mesh,
			findings,
			random: new SeededRandom(seed + 1),
			signal: load.signal,
			keep: (name, history) =>
				writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(history, undefined, '\t')),
			damages: options.damages,
		};
		const watchers = await Watchers.open(context);
		const [registers, ledger, lock] = [
			new Registers(context, watchers),
			new Ledger(context, watchers),
			new Lock(context),
		];
		const [streams, configuration] = [new Streams(context), await Configuration.open(context)];
		const workloads: readonly Workload[] = [registers, ledger, lock, streams, configuration, watchers];
		const nemesis = new Nemesis({
			context: { mesh, random: new SeededRandom(seed), streams, configuration, folder, smallDisk, namespaces },
			faults,
			findings,
			workloads,
			settings: {
				...options,
				untilMs: options.rounds === undefined ? performance.now() + options.minutes * 60_000 : undefined,
			},
			signal,
			progress,
		});
		if (options.allowMissing)
			for (const [name, why] of Object.entries(nemesis.missing)) progress(`without "${name}": ${why}`);
		// Who interrupts waits for nothing: what is under way ends with the processes.
		const interrupted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
		await Promise.race([nemesis.run(), interrupted]);
		load.abort();
		await Promise.race([Promise.all(workloads.map(({ ended }) => ended)), interrupted]);
		if (!signal.aborted && findings.violationsTotal === 0) await judge(workloads, findings, options);
		return {
			seed,
			nodes,
			seconds: findings.elapsedS,
			interrupted: signal.aborted,
			violations: findings.violations,
			violationsTotal: findings.violationsTotal,
			faults: nemesis.records,
			missing: nemesis.missing,
			calms: nemesis.calms,
			floorPerSecond: options.floorPerSecond,
			completed: findings.completed,
			errors: Object.fromEntries(findings.errors),
			histories: registers.judged,
			ledger: ledger.size,
			owners: lock.owners,
			told: watchers.told,
			streams: {
				completed: streams.completed,
				routerKilled: streams.cut,
				refused: streams.refused,
				dropped: streams.dropped,
			},
			folder: undefined,
		};
	} finally {
		await mesh.close();
	}
}

/** With the mesh whole and the load over. */
async function judge(workloads: readonly Workload[], findings: Findings, options: RunOptions): Promise<void> {
	for (const workload of workloads) {
		try {
			await workload.finish?.();
		} catch (error) {
			findings.violation(error instanceof Error ? error.message : String(error));
		}
	}
	const wanted = options.floorPerSecond * floorOfRun * findings.elapsedS;
	if (findings.operations < wanted)
		findings.violation(`only ${findings.operations} operations were answered, fewer than ${Math.round(wanted)}`);
	for (const kind of ['read', 'write', 'swap', 'ledger write', 'lock', 'guarded write', 'policy', 'stream'])
		if (findings.count(kind) === 0) findings.violation(`no ${kind} was ever answered`);
}
