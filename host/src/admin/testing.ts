// Owns a mesh for tests of the admin API and the command line: a MeshControl over plain lists that records what it was asked.
import { defineErrors, MeshError } from '@infermesh/proto';
import { testExperiments } from '../experiments/testing.js';
import { HandClock } from '../fleet/testing.js';
import type { MeshOperations } from '../mesh/operations.js';
import { lonelyMesh } from '../mesh/testing.js';
import { testReports } from '../reports/testing.js';
import type { ShadowReport } from '../strategy/shadow/report.js';
import type { LogLevel } from '../telemetry/logger.js';
import type { CapacityRow } from './capacity-routes.js';
import type { LoadStrategyRequest, MeshControl } from './control.js';
import type { GpuRow } from './gpu-routes.js';
import type { RecorderView } from './recorder-routes.js';
import type {
	JoinTokenMade,
	JoinTokenRequest,
	MeshStatus,
	Readiness,
	RollbackRequest,
	StageRequest,
	StrategyView,
	TargetRequest,
	TargetView,
} from './schemas.js';

const testErrors = defineErrors({
	IM_TEST_UNKNOWN: {
		summary: 'not there',
		hint: 'list first',
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
	},
	IM_TEST_REFUSED: {
		summary: 'refused',
		hint: 'mend it',
		httpStatus: 400,
		grpcStatus: 'INVALID_ARGUMENT',
		retryable: false,
	},
});

export function fakeTarget(request: TargetRequest): TargetView {
	return {
		id: request.id ?? new URL(request.url).host,
		url: request.url,
		models: request.models ?? ['llama'],
		runtime: request.runtime ?? 'vllm',
		revision: request.revision ?? null,
		quant: null,
		role: 'both',
		node: 'n1',
		zone: 'z1',
		region: 'r1',
		cell: null,
		weight: request.weight ?? 1,
		state: 'ready',
		heldBy: [],
		draining: false,
		health: 1,
		inFlight: 3,
		load: 5,
		queueDepth: 2,
		running: 3,
		kvUsage: 0.42,
		ttftMs: 130,
		tpotMs: 11,
		errorRatio: 0,
		rttMs: 0.3,
		rttBasis: 'measured',
		linkClass: 'same_zone',
		bandwidthMbps: 0,
		telemetryAgeMs: 210,
	};
}

export function fakeStrategy(name: string, stage: string): StrategyView {
	return {
		name,
		version: '1.0.0',
		digest: 'ab'.repeat(32),
		grade: 'unsigned',
		signedBy: null,
		stage,
		models: [],
		canaryPercent: null,
		previous: false,
		strikes: 0,
		quarantinedForMs: null,
		loadedAt: '2026-01-01T00:00:00.000Z',
		bytes: 4096,
		runs: 'wasm',
		fuelBudget: 201_600,
	};
}

export function fakeGpu(id: string): GpuRow {
	return {
		id,
		node: 'n1',
		index: 0,
		product: 'NVIDIA H100',
		parent: null,
		migProfile: '',
		share: 1,
		standing: 'sound',
		rules: [],
		health: 1,
		stale: false,
		ageMs: 400,
		targets: ['a'],
		heldBack: [],
		vramUsedMib: 40_000,
		vramTotalMib: 81_559,
		computeRatio: 0.5,
		memoryRatio: 0.25,
		temperatureC: 61,
		powerW: 500,
		powerLimitW: 700,
		throttle: 0,
		eccUncorrected: 0,
		xids: [],
		unread: [],
	};
}

export function fakeRecorder(recording: boolean): RecorderView {
	return {
		recording,
		name: '20260101T000000Z-abcdef',
		dir: '/var/lib/infermesh/recordings',
		since: '2026-01-01T00:00:00.000Z',
		seconds: recording ? 60 : 0,
		sample: 1,
		hashes: 'salted',
		decisions: 1000,
		outcomes: 990,
		dropped: 2,
		outcomesLost: 1,
		bytes: 250_000,
		files: 1,
		file: '20260101T000000Z-abcdef-000000.imrec',
		chain: 'ab'.repeat(32),
		error: null,
	};
}

export class FakeMesh implements MeshControl {
	readonly targets = new Map<string, TargetView>();
	readonly strategies = new Map<string, StrategyView>([['hybrid_mesh', fakeStrategy('hybrid_mesh', 'active')]]);
	readonly loads: LoadStrategyRequest[] = [];
	readonly calls: string[] = [];
	readonly gpus = {
		list: (): GpuRow[] => [fakeGpu('GPU-a')],
		hold: (uuid: string, by: string): GpuRow => {
			this.calls.push(`gpu.hold ${uuid} ${by}`);
			return { ...fakeGpu(uuid), standing: 'quarantined' };
		},
		release: (uuid: string): GpuRow => {
			this.calls.push(`gpu.release ${uuid}`);
			return fakeGpu(uuid);
		},
	};
	shadowReports: ShadowReport[] = [];
	readonly shadows = (): ShadowReport[] => this.shadowReports;
	readonly recorder = {
		view: (): RecorderView => fakeRecorder(false),
		start: (request: { readonly sample?: number }): Promise<RecorderView> => {
			this.calls.push(`recorder.start ${request.sample ?? ''}`);
			return Promise.resolve(fakeRecorder(true));
		},
		stop: (): Promise<RecorderView> => {
			this.calls.push('recorder.stop');
			return Promise.resolve(fakeRecorder(false));
		},
	};
	/** Real operations over a store in memory. */
	readonly mesh: MeshOperations = lonelyMesh().operations;
	readonly reports = testReports(new HandClock());
	ready = true;
	requestsTotal = 0;
	#level: LogLevel = 'info';

	status(): MeshStatus {
		return {
			version: '0.1.0',
			nodeVersion: process.version,
			node: 'local',
			startedAt: '2026-01-01T00:00:00.000Z',
			uptimeS: 61,
			roles: ['router', 'coordinator', 'gpu', 'trainer', 'edge'],
			level: { node: 1, mesh: 1 },
			dataUrl: 'http://127.0.0.1:8080',
			adminUrl: 'http://127.0.0.1:8081',
			development: true,
			workers: 1,
			models: ['llama'],
			targets: { total: this.targets.size, watched: this.targets.size, serving: this.targets.size },
			activeStrategy: 'hybrid_mesh@1.0.0',
			modelStrategies: { llama: 'least_queue@1.0.0' },
			traffic: {
				requestsTotal: this.requestsTotal,
				failedTotal: 0,
				inFlight: 7,
				tokensOutTotal: this.requestsTotal * 100,
				decisionsTotal: this.requestsTotal,
				fallbacksTotal: 0,
				strikesTotal: 0,
				ttft: { boundsS: [0.064, 0.128, 0.256], counts: [0, this.requestsTotal, 0, 0] },
			},
		};
	}

	readiness(): Promise<Readiness> {
		return Promise.resolve({ ready: this.ready, reasons: this.ready ? [] : ['no worker listens'], degraded: [] });
	}

	createJoinToken(request: JoinTokenRequest): Promise<JoinTokenMade> {
		return Promise.resolve({ id: 'id', token: 'imj1.test', expiresAtMs: request.ttlMs });
	}

	readonly experiments = testExperiments();

	capacity(): CapacityRow[] {
		return [
			{
				model: 'llama',
				ready: 3,
				desired: 2,
				needed: 2,
				reason: 'demand fell',
				demandPerS: 12,
				sustainablePerS: 7.5,
				goodRatio: 0.99,
				ttftMs: 5000,
				tpotMs: 100,
				share: 1,
				drainFirst: ['a'],
				ageMs: 100,
			},
		];
	}

	listTargets(): TargetView[] {
		return [...this.targets.values()];
	}

	addTarget(request: TargetRequest): Promise<TargetView> {
		const target = fakeTarget(request);
		this.targets.set(target.id, target);
		return Promise.resolve(target);
	}

	removeTarget(id: string): Promise<TargetView> {
		const target = this.#target(id);
		this.targets.delete(id);
		return Promise.resolve(target);
	}

	drainTarget(id: string, draining: boolean): Promise<TargetView> {
		const target = { ...this.#target(id), draining, state: draining ? 'draining' : 'ready' };
		this.targets.set(id, target);
		return Promise.resolve(target);
	}

	#target(id: string): TargetView {
		const target = this.targets.get(id);
		if (target === undefined) throw new MeshError(testErrors, 'IM_TEST_UNKNOWN', `no target ${id}`);
		return target;
	}

	listStrategies(): StrategyView[] {
		return [...this.strategies.values()];
	}

	loadStrategy(
		request: LoadStrategyRequest,
	): Promise<{ strategy: StrategyView; admissionMs: number; report: unknown }> {
		this.loads.push(request);
		const magic = Buffer.from(request.module.subarray(0, 4)).toString('latin1');
		if (magic !== '\0asm') return Promise.reject(new MeshError(testErrors, 'IM_TEST_REFUSED', 'not a module'));
		const strategy = fakeStrategy('mine', request.activate ? 'active' : 'loaded');
		this.strategies.set('mine', strategy);
		return Promise.resolve({ strategy, admissionMs: 120, report: { ok: true } });
	}

	stageStrategy(name: string, request: StageRequest): Promise<StrategyView> {
		const known = this.strategies.get(name);
		if (known === undefined) return Promise.reject(new MeshError(testErrors, 'IM_TEST_UNKNOWN', `no strategy ${name}`));
		const staged = { ...known, stage: request.stage, canaryPercent: request.percent ?? null };
		this.strategies.set(name, staged);
		return Promise.resolve(staged);
	}

	rollbackStrategy({ model }: RollbackRequest): Promise<StrategyView> {
		this.calls.push(`rollback ${model ?? '*'}`);
		return Promise.resolve(fakeStrategy('hybrid_mesh', 'active'));
	}

	unloadStrategy(name: string): Promise<StrategyView> {
		if (name === 'crash') return Promise.reject(new Error('secret detail of the inside'));
		this.calls.push(`unload ${name}`);
		return Promise.resolve(fakeStrategy(name, 'loaded'));
	}

	quotas(): ReturnType<MeshControl['quotas']> {
		return Promise.resolve([
			{
				tenant: 'acme',
				weight: 2,
				priority: 0,
				quantities: [{ quantity: 'requestsPerMinute', limit: 60, left: 40, leased: 10, spent: 10 }],
				holders: [],
				waiting: 1,
				refused: 3,
			},
		]);
	}

	explain(id: string): ReturnType<MeshControl['explain']> {
		if (id !== 'd-1') return Promise.resolve(undefined);
		return Promise.resolve({
			id,
			at: '2026-01-01T00:00:00.000Z',
			requestId: 'r-1',
			path: '/v1/chat/completions',
			tenant: 'default',
			session: '',
			model: 'llama',
			strategy: 'hybrid_mesh@1.0.0',
			digest: 'ab'.repeat(32),
			verdict: 'route',
			fallbackCause: 'none',
			fuel: 912,
			durationUs: 0.9,
			propensity: 1,
			eligible: 2,
			previous: null,
			chosen: 'engine-a',
			runnerUp: 'engine-b',
			margin: 12.5,
			candidates: [
				{ target: 'engine-a', row: 0, score: 40, factors: { wait: 30, prefill: 10 }, columns: { load: 1 } },
				{ target: 'engine-b', row: 1, score: 52.5, factors: { wait: 42.5, prefill: 10 }, columns: { load: 4 } },
			],
			request: { tokens_in: 512 },
			cachedTokens: 0,
			cachedSource: 'none',
			attempts: [
				{
					target: 'engine-a',
					status: 'ok',
					httpStatus: 200,
					ttftMs: 41,
					tpotMs: 9,
					e2eMs: 800,
					tokensIn: 512,
					tokensOut: 80,
					tokensCached: 0,
					hedge: 'none',
					lost: false,
					wastedTokens: 0,
					leg: 'whole',
				},
			],
		});
	}

	config(): ReturnType<MeshControl['config']> {
		return [{ key: 'data.port', value: 8080, origin: 'default', kind: 'default' }];
	}

	metrics(): Promise<string> {
		return Promise.resolve('# TYPE infermesh_requests_total counter\n');
	}

	logLevel(): LogLevel {
		return this.#level;
	}

	setLogLevel(level: LogLevel): void {
		this.#level = level;
	}
}
