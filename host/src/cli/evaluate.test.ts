// `infermesh evaluate off-policy` as its user sees it: a recording on disk, judged in a process of its own; its exit codes, and its errors by name.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { prepareStrategy } from '../project/prepare.js';
import type { OffPolicyReport } from '../recorder/off-policy/evaluate.js';
import { entryOf, RecordedBench } from '../recorder/testing.js';
import { smallText } from '../simulator/grid/testing.js';
import { run } from './testing.js';

const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-evaluate-'));
const file = path.join(folder, 'recording.imrec');
test.after.always(() => rmSync(folder, { recursive: true }));

/** Foreground commands end when it is aborted: this one never is. */
const { signal } = new AbortController();

test.before(async () => {
	const { module } = await prepareStrategy('least_request');
	const bench = new RecordedBench({ calm: true, rows: 4, decider: { explorationRatio: 0.9 } });
	bench.harness.add(module);
	bench.harness.plan({ activeVersionId: module.versionId });
	bench.writer.strategy(entryOf(module), undefined);
	for (let i = 0; i < 1500; i++) {
		bench.decide(1);
		const made = bench.decisions[i];
		bench.outcome(made?.id ?? '', { ttftMs: 100 + 50 * (made?.out.rows[made.out.chosen] ?? 0) });
		if (i % 50 === 0) bench.drain();
	}
	writeFileSync(file, bench.finish()[0]?.bytes ?? '');
});

test.serial('a recording with exploration gives estimates, in text and as one document', async (t) => {
	const ran = await run(['evaluate', 'off-policy', file, '--against', 'baseline_rr', '--slo', 'ttft<180ms', '--json'], {
		signal,
	});
	t.is(ran.code, 0, ran.err);
	const report = ran.json as OffPolicyReport;
	t.is(report.schema, 'infermesh.off-policy/1');
	t.is(report.decisions, 1500);
	const { ttftMs } = report.outcomes;
	if (ttftMs.kind !== 'estimates') return t.fail(JSON.stringify(ttftMs));
	// Round robin over 100, 150, 200 and 250 ms.
	t.true(Math.abs(ttftMs.snips.value - 175) < 15, `${ttftMs.snips.value}`);
	const text = await run(['evaluate', 'off-policy', file, '--against', 'baseline_rr', '--slo', 'ttft<180ms'], {
		signal,
	});
	t.regex(text.out, /meaning {4}one-step deviation/);
	t.is(text.code, 0);
	return undefined;
});

test.serial('what cannot be read, parsed or found is named, and a refusal is exit code 1', async (t) => {
	const fails = async (code: string, ...argv: string[]) => {
		const ran = await run(['evaluate', 'off-policy', ...argv, '--json'], { signal });
		t.true(ran.code > 0);
		t.regex(ran.err, new RegExp(code), ran.err);
	};
	await fails('IM_RECORDING_READ', path.join(folder, 'absent.imrec'), '--against', 'baseline_rr');
	await fails('IM_THRESHOLD_', file, '--against', 'baseline_rr', '--slo', 'speed<1');
	await fails('IM_PROJECT_', file, '--against', 'no_such_strategy');
	await fails('IM_CLI_USAGE', file);
	const cut = path.join(folder, 'cut.imrec');
	writeFileSync(cut, readFileSync(file).subarray(0, 60_000));
	const partial = await run(['evaluate', 'off-policy', cut, '--against', 'baseline_rr', '--json'], { signal });
	const report = partial.json as OffPolicyReport;
	t.true(report.partial);
	t.is(partial.code, 1);
	t.is(report.outcomes.attainment.kind, 'refused');
});

test.serial('true regret is told with its intervals, what it is, and the predictor’s figure beside it', async (t) => {
	const files = { 'small.yaml': smallText('grid: { seeds: 1 }') };
	const argv = [
		'evaluate',
		'regret',
		'least_queue',
		'--scenario',
		'small.yaml',
		'--requests',
		'40',
		'--decisions',
		'3',
	];
	const ran = await run(argv, { signal, files });
	t.is(ran.code, 0, ran.err);
	// Two engines: one other target to try.
	t.regex(ran.out, /3 decisions forked, 4 runs of \d+ requests\n[\s\S]*with hindsight[\s\S]*predicted regret/);
	t.like((await run([...argv, '--json'], { signal, files })).json, { runs: 4, partial: false });
	const stopped = await run(argv, { files });
	t.regex(stopped.out, /0 decisions forked, 1 runs .*\(stopped before its end\)/, 'an interrupt keeps what there is');
});
