// Owns the adapters of collectives and links by name: what each reads, and how it is opened.
import path from 'node:path';
import { type CommStatsDelta, commBounds } from '@infermesh/proto';
import type { CommPlace } from '../comm/draft.js';
import { judgeFlightDumps, type RankDump, readFlightDump } from '../comm/flight-recorder.js';
import { InspectorReader } from '../comm/inspector.js';
import { readInspectorText } from '../comm/inspector-text.js';
import { NcclLogReader } from '../comm/nccl-log.js';
import { type PortLooks, PortReader } from '../comm/port-counters.js';
import { SysfsPorts } from '../comm/port-sysfs.js';
import { readEthtool, readRdma } from '../comm/port-text.js';
import { askRas, readRas } from '../comm/ras.js';
import { FolderTail, type TailReport } from '../comm/tail.js';
import { UccLogReader } from '../comm/ucc.js';
import { UcxReader } from '../comm/ucx.js';
import type { AdapterFiles } from '../effects/ports.js';
import { type AdapterContext, type AdapterKind, type AdapterSetting, utf8 } from './kind.js';

type Comm = AdapterKind<'comm'>;

const PROGRAM = { timeoutMs: 5000, bytesMax: 4 * 1024 * 1024 } as const;
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const FILES_MAX = 1024;
const NAMES_MAX = 16_384;
/** Processes whose UCX datagrams are kept between two looks. */
const SENDERS_MAX = 256;

const placeOf = ({ node, jobId }: AdapterContext): CommPlace => ({
	...(node === '' ? {} : { node }),
	...(jobId === '' ? {} : { jobId }),
});

const one = (delta: CommStatsDelta) => [{ key: delta.source, target: '', delta }];
const nothing = (): void => undefined;
const required = (name: string, description: string): AdapterSetting => ({ name, description, required: true });

/** What a tail could not read beside what a reader could not. */
function withTail(delta: CommStatsDelta, { unread, skippedBytes, droppedLines, files }: TailReport): CommStatsDelta {
	const more = [...unread];
	if (files === 0 && unread.length === 0) more.push('no file is there to read');
	if (skippedBytes > 0) more.push(`${skippedBytes} bytes skipped: further behind than is read`);
	if (droppedLines > 0) more.push(`${droppedLines} lines dropped: too long`);
	const texts = [...delta.unread, ...more.map((text) => text.slice(0, commBounds.textCharsMax))];
	return { ...delta, unread: texts.slice(0, commBounds.unreadMax) };
}

interface LineReader {
	line(text: string): void;
	look(atMs: number): CommStatsDelta;
}

/** An adapter that follows the files of a folder, line by line. */
function tailing(name: string, summary: string, matches: RegExp, make: (place: CommPlace) => LineReader): Comm {
	return {
		name,
		stream: 'comm',
		summary,
		periodMs: 5000,
		settings: [required('path', 'Folder of the files, or one file.')],
		open: (settings, context) => {
			const tail = new FolderTail(context.effects.files, settings.text('path'), (file) => matches.test(file));
			const reader = make(placeOf(context));
			return Promise.resolve({
				look: async () => {
					const report = await tail.look((line) => reader.line(line));
					return one(withTail(reader.look(context.effects.clock.nowMs()), report));
				},
				close: nothing,
			});
		},
	};
}

/** Whole files of a folder whose names match, with their names. */
async function wholeFiles(
	files: AdapterFiles,
	folder: string,
	matches: RegExp,
): Promise<readonly { readonly name: string; readonly text: string }[]> {
	const names = await files.list(folder, NAMES_MAX);
	const paths = names
		?.filter((name) => matches.test(name))
		.sort()
		.slice(0, FILES_MAX)
		.map((name) => path.join(folder, name));
	const found = [];
	for (const file of paths ?? [folder]) {
		const piece = await files.read(file, 0, FILE_BYTES_MAX);
		if (piece !== undefined) found.push({ name: path.basename(file), text: utf8(piece.bytes) });
	}
	return found;
}

const inspectorText: Comm = {
	name: 'nccl_inspector_text',
	stream: 'comm',
	summary: 'NCCL Inspector’s files for a textfile collector (NCCL_INSPECTOR_PROM_DUMP=1)',
	periodMs: 30_000,
	settings: [required('path', 'Folder of the .prom files, or one file.')],
	open: (settings, context) =>
		Promise.resolve({
			look: async () => {
				const { files, clock } = context.effects;
				const found = await wholeFiles(files, settings.text('path'), /\.prom$/);
				const body = found.map(({ text }) => text).join('\n');
				return one(readInspectorText(body, clock.nowMs(), placeOf(context)));
			},
			close: nothing,
		}),
};

const ras: Comm = {
	name: 'nccl_ras',
	stream: 'comm',
	summary: 'NCCL RAS: how communicators stand, who is missing, dead or behind',
	periodMs: 10_000,
	settings: [
		{ name: 'address', description: 'Where RAS answers (NCCL_RAS_ADDR).', default: 'localhost:28028' },
		{ name: 'timeout_ms', description: 'All of one look.', default: '15000' },
	],
	open: (settings, context) => {
		const { effects } = context;
		const options = { ...settings.address('address'), timeoutMs: settings.whole('timeout_ms', 1, 600_000) };
		return Promise.resolve({
			look: async () => one(readRas(await askRas(effects.connect, options), effects.clock.nowMs(), placeOf(context))),
			close: nothing,
		});
	},
};

const flightRecorder: Comm = {
	name: 'flight_recorder',
	stream: 'comm',
	summary: 'PyTorch Flight Recorder dumps as JSON: who keeps the others waiting',
	periodMs: 10_000,
	settings: [required('path', 'Folder of the dumps; their names end in the rank, before .json.')],
	open: (settings, context) =>
		Promise.resolve({
			look: async () => {
				const { files, clock } = context.effects;
				const dumps: RankDump[] = [];
				for (const { name, text } of await wholeFiles(files, settings.text('path'), /\d+(?:\.json)?$/))
					dumps.push(readFlightDump(text, Number(/(\d+)(?:\.json)?$/.exec(name)?.[1] ?? 0)));
				const delta = judgeFlightDumps(dumps, clock.nowMs(), placeOf(context));
				return one(dumps.length > 0 ? delta : { ...delta, unread: ['no dump is there to read'] });
			},
			close: nothing,
		}),
};

const ucx: Comm = {
	name: 'ucx',
	stream: 'comm',
	summary: 'UCX statistics as text (UCX_STATS_DEST=file:…), or as text over UDP',
	periodMs: 5000,
	settings: [
		{ name: 'path', description: 'Folder of the statistics files, or one file.' },
		{ name: 'listen', description: 'host:port on which datagrams with text come.' },
	],
	open: async (settings, context) => {
		const { effects } = context;
		const reader = new UcxReader(placeOf(context));
		const folder = settings.optional('path');
		const heard = new Map<string, string>();
		let binary = 0;
		const hear = (bytes: Uint8Array): void => {
			const text = utf8(bytes);
			if (text.includes('\u0000') || text.includes('\ufffd')) binary++;
			// A datagram is a report of a process, which its first line names.
			else if (heard.size < SENDERS_MAX || heard.has(senderOf(text))) heard.set(senderOf(text), text);
		};
		const at = settings.optional('listen') === undefined ? undefined : settings.address('listen');
		if (at === undefined) settings.text('path');
		const socket = at === undefined ? undefined : await effects.datagrams(at.host, at.port, hear);
		return {
			look: async () => {
				const texts = new Map(heard);
				if (folder !== undefined)
					for (const { name, text } of await wholeFiles(effects.files, folder, /./)) texts.set(name, text);
				const delta = reader.look(texts, effects.clock.nowMs(), binary);
				binary = 0;
				return one(delta);
			},
			close: () => socket?.close(),
		};
	},
};

const senderOf = (text: string): string => (text.split('\n', 1)[0] ?? '').trim().slice(0, commBounds.nameCharsMax);

const networkPorts: Comm = {
	name: 'network_ports',
	stream: 'comm',
	summary: 'Ports of InfiniBand, RoCE and Ethernet: rates, errors, congestion, links that go down',
	periodMs: 5000,
	settings: [
		{ name: 'root', description: 'Folder under which `sys` lies.', default: '/' },
		{ name: 'ethtool', description: 'Devices to ask `ethtool -S` about as well, with commas between.' },
		{ name: 'rdma', description: 'Ask `rdma -j statistic` as well.', default: 'false' },
	],
	open: (settings, context) => {
		const { effects } = context;
		const sysfs = new SysfsPorts(effects.files, settings.text('root'));
		const devices = (settings.optional('ethtool') ?? '').split(',').map((name) => name.trim());
		const ethtool = devices.filter((name) => /^[\w.:-]{1,64}$/.test(name) && !name.startsWith('-'));
		const asked = settings.flag('rdma');
		const readers = new Map<string, PortReader>();
		const read = (source: string, looks: PortLooks) => {
			const reader = readers.get(source) ?? new PortReader(placeOf(context));
			readers.set(source, reader);
			return reader.look(looks, effects.clock.nowMs());
		};
		const run = async (program: string, args: readonly string[], parse: (text: string) => PortLooks) => {
			try {
				return parse(await effects.run(program, args, PROGRAM));
			} catch (error) {
				const why = error instanceof Error ? error.message : String(error);
				return { ports: [], unread: [`${program}: ${why.split('\n', 1)[0] ?? ''}`] };
			}
		};
		const look = async () => {
			const deltas = [read('sysfs', await sysfs.look())];
			for (const device of ethtool)
				deltas.push(read(device, await run('ethtool', ['-S', device], (text) => readEthtool(text, device))));
			if (asked) deltas.push(read('rdma', await run('rdma', ['-j', 'statistic'], readRdma)));
			return one(merged(deltas));
		};
		return Promise.resolve({ look, close: nothing });
	},
};

/** Of one node's sources one delta: a port that several know has what each adds. */
function merged(deltas: readonly CommStatsDelta[]): CommStatsDelta {
	const [first, ...rest] = deltas as [CommStatsDelta, ...CommStatsDelta[]];
	const links = new Map(first.links.map((link) => [`${link.device}/${link.port}`, link]));
	for (const link of rest.flatMap((delta) => delta.links)) {
		const key = `${link.device}/${link.port}`;
		const { layer, ...known } = links.get(key) ?? link;
		links.set(key, { ...link, ...known, layer });
	}
	const unread = deltas.flatMap((delta) => delta.unread).slice(0, commBounds.unreadMax);
	return { ...first, links: [...links.values()].slice(0, commBounds.linksMax), unread };
}

export const commKinds: readonly Comm[] = [
	tailing(
		'nccl_inspector',
		'NCCL Inspector’s JSON lines (NCCL_INSPECTOR_DUMP_DIR): bandwidth and time of collectives, the slow rank',
		/\.(?:log|json|jsonl)$/,
		(place) => new InspectorReader(place),
	),
	inspectorText,
	ras,
	tailing(
		'nccl_log',
		'NCCL_DEBUG_FILE: rings, trees, channels, chosen algorithms, warnings',
		/./,
		(place) => new NcclLogReader(place),
	),
	flightRecorder,
	ucx,
	tailing(
		'ucc',
		'UCC’s log with UCC_COLL_TRACE=y: collectives by team and transport',
		/./,
		(place) => new UccLogReader(place),
	),
	networkPorts,
];
