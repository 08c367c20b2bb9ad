// Owns the sections of the configuration about adapters: of collectives, networks and stores, what follows from their reports, and GPUs with their rules.
import { gpuSourceKinds } from '@infermesh/adapters';
import { Type } from '../../schema/type.js';
import { factNames } from '../../signals/facts.js';
import { choice, flag, integer, item, list, map, number, required, secret, section, text } from '../fields.js';
import { MS } from './units.js';

export const adapterSchema = item('One adapter of collectives, networks or stores that this node runs.', {
	kind: required('Its kind; `infermesh adapter kinds` lists them. Runtimes and GPUs are configured elsewhere.'),
	period_ms: integer(0, 'Time between two looks; 0 = that of the kind.', { ...MS, min: 0 }),
	job_id: text('', 'Job it watches over, a label.'),
	settings: map(Type.String(), 'Settings of the kind, but for its secrets.', 32),
	secret_access_key: secret('Setting of the same name'),
	session_token: secret('Setting of the same name'),
	token: secret('Setting of the same name'),
});

export const reportsSchema = section(
	'Reports of collectives, networks and stores, and those that adapters outside send.',
	{
		window: integer(64, 'Reports an adapter may send beyond the last acknowledgement.', { min: 1, max: 4096 }),
		ack_every_ms: integer(10, 'A stream is acknowledged at most this often, which bounds its rate.', { ...MS, min: 1 }),
		streams_max: integer(4096, 'Streams whose place is remembered over a reconnect.', { min: 16, max: 65_536 }),
		origins_max: integer(
			256,
			'Sources of collectives, and of stores, kept; the one not heard of for longest goes first.',
			{
				min: 16,
				max: 4096,
			},
		),
		stale_after_ms: integer(30_000, 'A report older than this is shown as stale, and out of the metrics.', MS),
		forget_after_ms: integer(
			600_000,
			'A source not heard of for this long is forgotten, its degradations with it.',
			MS,
		),
		link_errors_per_s: number(1, 'Errors a second that degrade a link; 0 = not judged.'),
		link_drops_per_s: number(1000, 'Dropped packets a second that degrade a link; 0 = not judged.'),
		link_congestion_per_s: number(10_000, 'Congestion notifications a second that degrade a link; 0 = not judged.'),
		store_failure_ratio: number(0.5, 'Failed share of requests that degrades a store; 0 = not judged.', { max: 1 }),
		checkpoint_age_max_s: number(0, 'Age of the newest checkpoint that degrades a store; 0 = not judged.', {
			unit: 's',
		}),
		raise_after_looks: integer(2, 'Bad looks in a row that raise a degradation; a link that goes down needs one.', {
			min: 1,
			max: 100,
		}),
		clear_after_ms: integer(60_000, 'All looks have been good this long when a degradation is cleared.', MS),
		degradations_max: integer(256, 'Links, ranks and stores followed, in force or on the way to it.', {
			min: 16,
			max: 4096,
		}),
	},
);

const gpuSourceSchema = item('A source of the state of GPUs.', {
	kind: choice(
		gpuSourceKinds,
		'dcgm',
		'`dcgm` and `amd_exporter` are pages of exporters, `nvml` is the driver’s library, the others are tools of that name.',
	),
	url: text('', 'Of an exporter, `http://host:9400/metrics`; of a tool, a page with its output.'),
	command: text('', 'Of a tool or library, in place of its usual name.'),
	node: text('', 'Node its devices are on; empty = as the source says, else this node.'),
});

const gpuRuleSchema = item(
	'A rule of quarantine. Exactly one of `above`, `below`, `in` and `bits` says when it is met.',
	{
		name: required('Name, shown wherever it holds a device.'),
		fact: choice(factNames, 'xid', 'What it looks at; docs/signals.md lists them.'),
		above: Type.Optional(Type.Number({ description: 'Met beyond this.' })),
		below: Type.Optional(Type.Number({ description: 'Met under this.' })),
		in: Type.Optional(
			Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 256, description: 'Met by any of these values.' }),
		),
		bits: Type.Optional(Type.Integer({ minimum: 1, maximum: 0x7fff_ffff, description: 'Met by any of these bits.' })),
		clear: Type.Optional(
			Type.Number({ description: 'Over only at or beyond this, on the good side of the threshold.' }),
		),
		enter_after_ms: integer(0, 'It must be met this long without a break.', { ...MS, min: 0 }),
		clear_after_ms: integer(30_000, 'It must be over this long without a break.', { ...MS, min: 0 }),
		then: choice(['quarantined', 'degraded'], 'quarantined', 'What becomes of the targets on the device.'),
		release: choice(['rule', 'hand'], 'rule', '`hand`: once in force it stays until `infermesh gpu release`.'),
	},
);

export const gpuSchema = section('The GPUs that targets run on.', {
	sources: list(gpuSourceSchema, 'Where their state is read; this node looks at all of them.', 1024),
	period_ms: integer(2000, 'Time between two looks at one source.', { ...MS, min: 100 }),
	timeout_ms: integer(5000, 'One look.', MS),
	stale_after_ms: integer(15_000, 'A device not heard of for this long is judged no further.', MS),
	forget_after_ms: integer(3_600_000, 'A device not heard of for this long is forgotten, its standing with it.', MS),
	devices_max: integer(4096, 'Devices and slices kept.', { min: 1, max: 65_536 }),
	default_rules: flag(
		true,
		'Judge by the rules that docs/signals.md lists; a rule of `rules` replaces that of its name.',
	),
	rules: list(gpuRuleSchema, 'Rules of quarantine.', 64),
	quarantine_ratio_max: number(
		0.5,
		'Share of a model’s targets that rules may take out, rounded down; what they would take beyond serves as degraded. By hand all may be taken.',
		{ max: 1 },
	),
});
