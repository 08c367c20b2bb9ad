// Owns the sections of the configuration about the strategy host, and about recording what it decides.
import { hashModes } from '../../recorder/entries.js';
import { Type } from '../../schema/type.js';
import { grades, inlineRules } from '../../strategy/signing/grade.js';
import { choice, flag, integer, map, number, section, text } from '../fields.js';
import { BYTES, MS } from './units.js';

export const strategySchema = section('The strategy host.', {
	active: text(
		'hybrid_mesh',
		'Strategy that decides at start: the name of a shipped one, a `.wasm` or `.so` file, or a project folder.',
	),
	require: choice(
		grades,
		'unsigned',
		'Least grade of what is loaded: `signed` by a key that the mesh knows, or by one it has `trusted` (`infermesh signing-key`). What `active` names at the first start is taken as it is.',
	),
	settings: map(
		Type.Record(Type.String(), Type.Union([Type.Number(), Type.Boolean()])),
		'Strategy → its own configuration, as its manifest declares it.',
		256,
	),
	base_fuel: integer(200_000, 'Fuel budget of one decision, whatever the fleet.', { unit: 'fuel', min: 1000 }),
	fuel_per_target: integer(400, 'Fuel budget added for each row of the pool.', { unit: 'fuel' }),
	stack_max_slots: integer(16_384, 'Depth a strategy may recurse to, in stack slots.', {
		unit: 'slots',
		min: 256,
		max: 65_536,
	}),
	module_max_bytes: integer(1024 * 1024, 'Largest module that is looked at.', { ...BYTES, max: 8 * 1024 * 1024 }),
	spares: integer(1, 'Fresh instances kept ready per pool and worker.', { min: 1, max: 16 }),
	loaded_max: integer(16, 'Strategies loaded at once.', { min: 1, max: 64 }),
	strikes_max: integer(3, 'Strikes in the window that lead to quarantine.', { min: 1, max: 1000 }),
	strike_window_ms: integer(60_000, 'Window in which strikes are counted.', MS),
	quarantine_ms: integer(300_000, 'First quarantine; each next one is twice as long.', MS),
	quarantine_max_ms: integer(3_600_000, 'Longest quarantine.', MS),
	forgive_ms: integer(7_200_000, 'Free of strikes this long after a quarantine, the doubling starts over.', MS),
	ranked_rows: integer(4, 'Ranked targets asked of a strategy: the best, and what retries would need.', {
		min: 1,
		max: 16,
	}),
	spread_ratio: number(
		0.25,
		'While several routers share the fleet: ranked targets that cost this share more than the best count as equal, and one is drawn, so that routers do not all take the same. 0 = always the best.',
		{ max: 10 },
	),
	exploration_ratio: number(
		0,
		'Share of decisions that go to a ranked target drawn evenly instead of the best, with its probability recorded, so that recordings tell what other strategies would have done (`infermesh evaluate off-policy`). It costs latency; takes the place of `spread_ratio` and of a strategy’s own exploration. 0 = never.',
		{ max: 1 },
	),
	witness_every: integer(
		1024,
		'One of this many decisions is re-run on a fresh instance and must agree; a power of two, 0 = never.',
		{
			max: 1 << 20,
		},
	),
	shadow_cpu_ratio: number(
		0.05,
		'Share of one core that shadows may use in each worker; live decisions beyond it are not run by them.',
		{
			max: 1,
		},
	),
	shadow_rerun_every: integer(
		100,
		'One of this many runs of a shadow is repeated on another instance and must agree.',
		{
			min: 1,
			max: 1_000_000,
		},
	),
	state_publish_ms: integer(10, 'A state block is published at most this often.', MS),
	admission_timeout_ms: integer(
		10_000,
		'Admission child process: killed when it has used so much processor time, or after five times as long by the clock; of libraries after this by the clock.',
		MS,
	),
	admission_memory_mib: integer(512, 'Admission child process: heap limit.', { unit: 'MiB', min: 64, max: 16_384 }),
	prepare_timeout_ms: integer(
		5000,
		'Every worker must have made a strategy ready within this; else nothing is changed and whoever asked is told to try again (`IM_STRATEGY_PREPARE`).',
		MS,
	),
	native: section('Native strategies: shared libraries, each in a sandbox process of its own.', {
		inline: choice(
			inlineRules,
			'trusted',
			'Which libraries may run in the mesh process itself when they are loaded with `--inline`: those that a key of grade `trusted` has signed, or none (`never`). A fault of one of these ends the process, and nothing limits what it does.',
		),
		deadline_us: integer(2000, 'Processor time one decision may take; more of it is a strike and ends the sandbox.', {
			unit: 'µs',
			min: 100,
			max: 1_000_000,
		}),
		grace_us: integer(
			10_000,
			'The fallback answers after this long when the machine held the sandbox up; that is no strike.',
			{ unit: 'µs', min: 100, max: 10_000_000 },
		),
		spin_us: integer(20, 'Router and sandbox look for each other this long before they sleep.', {
			unit: 'µs',
			max: 10_000,
		}),
		memory_mib: integer(512, 'Address space of a sandbox beside its frame.', { unit: 'MiB', min: 16, max: 16_384 }),
		start_ms: integer(2000, 'Time for a library to load.', MS),
		compiler: text('g++', 'Command that builds addon and sandbox where they do not stand yet.'),
		build_dir: text('', 'Folder in which they are built and looked for; empty = beside their sources.'),
		restart_ms: integer(
			100,
			'A version whose sandbox failed twice waits this long before it is loaded again, twice as long after each further failure.',
			MS,
		),
		restart_max_ms: integer(10_000, 'Longest wait before a version that fails is loaded again.', MS),
	}),
});

export const recorderSchema = section('Recording of decisions, for replay and off-policy estimates.', {
	enabled: flag(false, 'Record from the start; `infermesh record start` does it at any time.'),
	dir: text('', 'Folder of the recordings; empty = `recordings` in `state_dir`.'),
	sample: number(1, 'Share of decisions that are recorded.', { max: 1 }),
	hashes: choice(
		hashModes,
		'salted',
		'Hashes of sessions and prompts: salted with a key that is kept nowhere, dropped, or kept as strategies see them. Prompt texts are never recorded. Strategies that use the hashes replay bit for bit only when they are kept.',
	),
	modules: flag(true, 'Keep the modules of the strategies in the files, so that they replay anywhere.'),
	ring_bytes: integer(
		4 * 1024 * 1024,
		'Memory of each worker for decisions on their way to the disk; when it is full decisions are not recorded.',
		{
			...BYTES,
			min: 65_536,
			max: 256 * 1024 * 1024,
		},
	),
	drain_ms: integer(20, 'How often what workers have recorded is taken to the disk.', { ...MS, max: 1000 }),
	file_max_bytes: integer(64 * 1024 * 1024, 'A file is closed when it has this many bytes.', {
		...BYTES,
		max: 1024 * 1024 * 1024,
	}),
	total_max_bytes: integer(1024 * 1024 * 1024, 'All recordings of the folder; the oldest files go first.', BYTES),
	files_max: integer(256, 'Files of the folder; the oldest go first.', { min: 2, max: 65_536 }),
	age_max_s: integer(86_400, 'Files older than this go.', { unit: 's', min: 60 }),
});
