// A native strategy in the decider of a worker: a failure costs the decision it happens in, which the fallback makes in the same tick; the spare decides
// the next; a version that is staged no more leaves no sandbox behind. And the way of a library through the mesh's own admission.
import { COLUMN_STATE, TargetState } from '@infermesh/sdk';
import test from 'ava';
import { AdmissionService, admissionServiceDefaults } from '../../main/admission-service.js';
import { systemClock } from '../../main/clock.js';
import { calibrationDefaults } from '../admission/calibrate.js';
import { fuelDefaults } from '../runtime/instance.js';
import { Harness, rankRows, written } from '../runtime/testing.js';
import { nativeLimitDefaults, patientLimits } from './code.js';
import { compileNative, hostileC, leastQueueC, misdeeds, nativeModule, sandboxesOf, slowToLoad } from './testing.js';

const hostile = await compileNative(hostileC);

function ready(harness: Harness): Harness {
	for (let row = 0; row < harness.rig.rows; row++) harness.rig.table.setU32(COLUMN_STATE, row, TargetState.ready);
	harness.rig.table.publish();
	return harness;
}

function decide(harness: Harness, misdeed: number): string {
	const { rig, decider, pool, out } = harness;
	rig.nextRequest();
	rig.features.tokensIn = misdeed;
	decider.decide(pool, rig.features, rig.hits, [], out);
	return out.strategy;
}

/** A busy machine is waited for. */
const patientAdmission = { ...admissionServiceDefaults, timeoutMs: 60_000 };

const sandboxes = (): number => sandboxesOf(process.pid).length;

test.serial('a crash costs one decision: the fallback answers at once, the spare decides the next', async (t) => {
	const harness = ready(new Harness());
	const native = { ...(await nativeModule(hostile)), versionId: 1 };
	harness.add(native, written(2, rankRows([3])));
	harness.plan({ activeVersionId: 1 });
	t.is(decide(harness, misdeeds.none), native.label);
	t.is(sandboxes(), 2, 'one decides, one is spare');
	for (const [misdeed, cause] of [
		['crash', 'trap'],
		['tableWrite', 'corrupt'],
	] as const) {
		t.is(decide(harness, misdeeds[misdeed]), 'least_queue@builtin');
		t.is(harness.out.cause, cause);
		t.true(harness.out.count > 0, 'it has been answered');
		t.is(harness.strikes.at(-1)?.cause, cause);
		t.is(decide(harness, misdeeds.none), native.label, 'nothing has run in between');
		harness.settle();
		await untilTwo();
	}
	harness.plan({ activeVersionId: 2 });
	decide(harness, misdeeds.none);
	harness.settle();
	for (let look = 0; look < 500 && sandboxes() > 0; look++) await pause();
	t.is(sandboxes(), 0);
});

const complaining = `
static int32_t rank(uint8_t *frame) {
	if (im_request_in(frame)->tokens_in != 1) return im_rank_lowest(frame, im_scratch_f32(frame, 0), IM_TOP_K);
	__builtin_memcpy(frame + im_header(frame)->log_offset, "why not", 7);
	im_output_in(frame)->log_bytes = 7;
	return IM_STATUS_ERROR;
}
IM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)
`;

test.serial(
	'a strike for an answer that is an error says what the strategy logged with it, and costs no sandbox',
	async (t) => {
		const harness = ready(new Harness());
		const library = await compileNative(complaining, { columns: '[load]', log_bytes: '64' });
		harness.add({ ...(await nativeModule(library)), versionId: 1 });
		harness.plan({ activeVersionId: 1 });
		decide(harness, 0);
		t.is(decide(harness, 1), 'least_queue@builtin');
		t.is(harness.strikes.at(-1)?.cause, 'invalid_status');
		t.is(harness.strikes.at(-1)?.trap, 'why not');
		t.not(decide(harness, 0), 'least_queue@builtin');
		harness.plan({ activeVersionId: undefined });
		decide(harness, 0);
		harness.settle();
		for (let look = 0; look < 500 && sandboxes() > 0; look++) await pause();
	},
);

async function untilTwo(): Promise<void> {
	for (let look = 0; look < 500 && sandboxes() < 2; look++) await pause();
}

function pause(): Promise<void> {
	return new Promise((resolve) => systemClock.after(2, resolve));
}

test.serial(
	'a decision that the machine holds up is no strike, and finds its frame as it was when it goes on',
	async (t) => {
		const harness = ready(new Harness());
		const limits = { ...patientLimits, graceUs: 2000, deadlineUs: 1_000_000 };
		const native = { ...(await nativeModule(hostile, { limits })), versionId: 1 };
		harness.add(native);
		harness.plan({ activeVersionId: 1 });
		decide(harness, misdeeds.slow);
		t.is(harness.out.cause, 'host_error');
		let given = 0;
		for (let look = 0; look < 10_000 && decide(harness, misdeeds.none) !== native.label; look++) {
			t.is(harness.out.cause, 'host_error');
			given++;
			await pause();
		}
		t.is(harness.out.strategy, native.label, 'it has caught up');
		t.true(given > 0, 'it was still at work when the next requests came');
		t.deepEqual(harness.strikes, []);
		harness.settle();
		harness.plan({ activeVersionId: undefined });
		decide(harness, misdeeds.none);
		harness.settle();
		for (let look = 0; look < 500 && sandboxes() > 0; look++) await pause();
	},
);

test.serial(
	'a wild write of a decision that the host had given up is found before the frame is used again',
	async (t) => {
		const harness = ready(new Harness());
		const limits = { ...patientLimits, graceUs: 2000, deadlineUs: 1_000_000 };
		harness.add({ ...(await nativeModule(hostile, { limits })), versionId: 1 });
		harness.plan({ activeVersionId: 1 });
		decide(harness, misdeeds.slowWrite);
		t.is(harness.out.cause, 'host_error');
		for (let look = 0; look < 10_000 && harness.strikes.length === 0; look++) {
			decide(harness, misdeeds.none);
			await pause();
		}
		t.deepEqual(
			harness.strikes.map(({ cause }) => cause),
			['corrupt'],
		);
		harness.settle();
		harness.plan({ activeVersionId: undefined });
		decide(harness, misdeeds.none);
		harness.settle();
		for (let look = 0; look < 500 && sandboxes() > 0; look++) await pause();
	},
);

test.serial(
	'the admission child takes a library, and refuses one by the same names as the author’s check',
	async (t) => {
		const service = new AdmissionService(patientAdmission, systemClock);
		const options = {
			fuel: fuelDefaults,
			moduleBytesMax: 1024 * 1024,
			calibration: { ...calibrationDefaults, sizes: [16], decisions: 10 },
			sourceMap: undefined,
		};
		const library = await compileNative(leastQueueC);
		const { report, admitted } = await service.admit(library, options);
		t.true(report.admitted, JSON.stringify(report.refusals));
		t.is(admitted?.wasm.length, library.length);
		const cut = await service.admit(library.slice(0, 5000), options);
		t.is(cut.report.refusals[0]?.code, 'IM_NATIVE_ELF');
		const native = { ...nativeLimitDefaults, startMs: 20 };
		const hasty = new AdmissionService({ ...patientAdmission, native }, systemClock);
		const late = await hasty.admit(await compileNative(slowToLoad(300)), options);
		t.is(late.report.refusals[0]?.code, 'IM_NATIVE_LOAD');
		t.regex(late.report.refusals[0]?.message ?? '', /within 20 ms/, 'as it would fare in this node’s workers');
	},
);
