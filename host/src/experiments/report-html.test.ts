// The HTML report of an experiment: whole, without outside resources, with its plots; a canary's shows no effect.
import test from 'ava';
import { quickDesign, recordFor, VirtualMesh } from './controller/testing.js';
import { SafetyTrial } from './design/safety-trial.js';
import { designFor } from './design/testing.js';
import { renderExperimentHtml } from './report-html.js';
import { testExperiments } from './testing.js';
import { documentOf } from './views.js';

test('a switchback’s page has its plots and guarantees and carries the document', async (t) => {
	const document = await testExperiments().report('e1');
	const html = renderExperimentHtml({ ...document, model: '<script>alert(1)</script>' });
	t.is(html.match(/<svg /g)?.length, 3);
	t.notRegex(html, /<script>alert|https?:\/\//);
	t.regex(html, /confidence sequence[\s\S]*Anytime-valid[\s\S]*Not defined on a live mesh/);
	const carried = /<script type="application\/json"[^>]*>([^<]*)<\/script>/.exec(html)?.[1] ?? '';
	t.is((JSON.parse(carried) as typeof document).designDigest, document.designDigest);
});

test('before the first pair a page shows no effect, rate or latency of nothing', (t) => {
	const design = designFor({ promote: 'win' });
	const html = renderExperimentHtml(documentOf(recordFor(design, 0)));
	t.regex(html, /<b>0<\/b><span>pairs judged, of 480 at most; 0 dropped/);
	t.is(html.match(/no pair was judged/g)?.length, 3);
	t.regex(html, /<td>candidate<\/td><td>0<\/td><td>-<\/td><td>-<\/td><td>-<\/td><td>-<\/td>/);
	t.regex(html, /0\.50 points, ±25\.00 points/);
	const objectives = { ...design.objectives, ttftMs: 2000, tpotMs: 50 };
	const goodBy = (ttftPerTokenMs: number): string =>
		renderExperimentHtml(documentOf(recordFor({ ...design, objectives: { ...objectives, ttftPerTokenMs } }, 0)));
	t.true(goodBy(0).includes('TTFT ≤ 2.00 s, TPOT ≤ 50.0 ms'));
	t.true(goodBy(0.3).includes('TTFT ≤ 2.00 s + 0.3 ms a prompt token, TPOT ≤ 50.0 ms'));
});

test('a canary’s report has counts and evidence, and neither latencies nor an effect', (t) => {
	const design = designFor({ kind: 'canary' });
	const trial = new SafetyTrial(design);
	trial.add({ candidate: 40, candidateBad: 2, control: 900, controlBad: 30 }, 1000);
	const point = { block: 0, fromMs: 0, toMs: 1000, requests: 40, good: 38, ttftP50Ms: 77, ttftP99Ms: 78 };
	const record = { ...recordFor(design, 0), trial: trial.state(), points: [{ ...point, arm: 'candidate' as const }] };
	const document = documentOf(record);
	t.is(document.switchback, undefined);
	t.is(document.ttftMs, undefined);
	t.notRegex(JSON.stringify(document), /"ttftP\d/);
	t.deepEqual(document.safety?.counts, { candidate: 40, candidateBad: 2, control: 900, controlBad: 30 });
	const html = renderExperimentHtml(document);
	t.notRegex(html, /TTFT p\d|<svg/);
	t.regex(html, /<td>candidate<\/td><td>40<\/td><td>2 bad<\/td>/);
});

/** What an experiment that ended by itself reports. */
async function ended(...[design, armsAre]: ConstructorParameters<typeof VirtualMesh>) {
	const mesh = new VirtualMesh(design, armsAre);
	await mesh.runToEnd(30);
	return documentOf(mesh.record);
}

test('a report of a rollback draws what ended it: the rule’s figure with its limit, or the evidence with its alarm', async (t) => {
	const herding = await ended(quickDesign({ guardrails: { imbalanceMs: 5000 } }), {
		baseline: { good: 1 },
		candidate: { good: 1, busiest: 0.97 },
	});
	const html = renderExperimentHtml(herding);
	t.regex(html, /What ended it, imbalance: busiest target[\s\S]*limit 3[\s\S]*guardrail imbalance[\s\S]*rollback/);
	t.true((herding.guardrails.value.trip?.course?.points.length ?? 0) >= 5);
	const attainment = await ended(quickDesign(), { baseline: { good: 0.95 }, candidate: { good: 0.3 } });
	t.regex(
		renderExperimentHtml(attainment),
		/What ended it, attainment: Requests within their objectives, by block[\s\S]*limit 4\d(\.\d+)?%/,
	);
	for (const splitBy of ['request', 'session'] as const) {
		const harmful = await ended(
			quickDesign({ kind: 'canary', splitBy, share: 0.3, durationMsMin: 400_000, promote: 'never' }),
			{ baseline: { good: 0.98 }, candidate: { good: 0.4 } },
		);
		t.is(harmful.verdict, 'harm');
		const page = renderExperimentHtml(harmful);
		t.regex(page, /Evidence of harm: how many times[\s\S]*alarm at 1,?000[\s\S]*rollback/);
		t.notRegex(page, /within their objectives, by block/, 'and no effect');
	}
});
