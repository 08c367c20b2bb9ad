import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { calibrationDefaults } from '../strategy/admission/calibrate.js';
import type { Inspection } from '../strategy/admission/try-out.js';
import { fuelDefaults } from '../strategy/runtime/instance.js';
import { AdmissionService, type AdmissionServiceOptions, admissionServiceDefaults } from './admission-service.js';
import { systemClock } from './clock.js';

const least = readFileSync(
	fileURLToPath(new URL('../../../../plugins/least_queue/build/least_queue.wasm', import.meta.url)),
);
const options = {
	fuel: fuelDefaults,
	moduleBytesMax: 1024 * 1024,
	calibration: { ...calibrationDefaults, decisions: 10 },
	sourceMap: undefined,
};

function service(more: Partial<AdmissionServiceOptions> = {}): AdmissionService {
	return new AdmissionService({ ...admissionServiceDefaults, ...more }, systemClock);
}

const codes = ({ report }: Inspection): string[] => report.refusals.map(({ code }) => code);

test.serial('a strategy that ships is admitted, with its metered bytes and figures', async (t) => {
	const { report, admitted } = await service().admit(least, options);
	t.true(report.admitted);
	t.is(report.name, 'least_queue');
	t.true((admitted?.wasm.length ?? 0) > least.length, 'metering adds to it');
	t.true(report.cpuMs > 0);
	t.true(report.sizes.length > 0);
});

test.serial('bytes that are no strategy are refused with a report, not an exception', async (t) => {
	const admission = service();
	for (const bytes of [
		new Uint8Array(0),
		new TextEncoder().encode('hello'),
		new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]),
		least.subarray(0, 900),
	]) {
		const inspection = await admission.admit(bytes, options);
		t.false(inspection.report.admitted);
		t.is(inspection.admitted, undefined);
		t.is(inspection.report.moduleBytes, bytes.length);
		for (const { code, message, hint } of inspection.report.refusals) {
			t.regex(code, /^IM_/);
			t.true(message.length > 5 && hint.length > 5);
		}
		t.true(inspection.report.refusals.length > 0);
	}
});

test.serial('an admission that takes too long is killed and says so', async (t) => {
	const children = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'ProcessWrap').length;
	const endless = { ...options, calibration: { ...calibrationDefaults, decisions: 1_000_000_000 } };
	const inspection = await service({ timeoutMs: 300, clockFactor: 1000 }).admit(least, endless);
	t.deepEqual(codes(inspection), ['IM_ADMISSION_TIMEOUT']);
	const deadline = performance.now() + 5000;
	while (children() > 0 && performance.now() < deadline)
		await new Promise((resolve) => {
			setTimeout(resolve, 5);
		});
	t.is(children(), 0, 'the child is gone');
});

test.serial(
	'an admission that the machine holds up is no dear module: it has five times as long by the clock',
	async (t) => {
		const before = performance.now();
		// The child is stopped as soon as there is one: it uses no processor time any more.
		const stopped = service({ timeoutMs: 400 }).admit(least, options);
		const child = spawnSync('pgrep', ['-P', `${process.pid}`, '-n', '-f', 'admission-child'])
			.stdout.toString()
			.trim();
		process.kill(Number(child), 'SIGSTOP');
		const { report } = await stopped;
		t.deepEqual(
			report.refusals.map(({ code }) => code),
			['IM_ADMISSION_LATE'],
		);
		t.regex(report.refusals[0]?.message ?? '', /had \d+ ms of processor time/);
		t.true(performance.now() - before >= 5 * 400);
	},
);

test.serial('a child that runs out of memory is a refusal, and the next one is not affected', async (t) => {
	const starved = await service({ memoryMib: 2 }).admit(least, options);
	t.deepEqual(codes(starved), ['IM_ADMISSION_CHILD']);
	t.regex(starved.report.refusals[0]?.message ?? '', /ended early/);
	t.true((await service().admit(least, options)).report.admitted);
});

test.serial('admissions wait for each other up to a bound, beyond which they are refused', async (t) => {
	const admission = service({ concurrencyMax: 1, waitingMax: 2 });
	const all = await Promise.all(Array.from({ length: 5 }, () => admission.admit(least, options)));
	t.deepEqual(
		all.map((inspection) => (inspection.report.admitted ? 'admitted' : codes(inspection)[0])),
		['admitted', 'admitted', 'admitted', 'IM_ADMISSION_BUSY', 'IM_ADMISSION_BUSY'],
	);
	t.true((await admission.admit(least, options)).report.admitted, 'there is room again');
});
