// Owns reading NCCL_DEBUG lines: rings, trees and channels of communicators, the algorithm and protocol chosen for a size, warnings. Lines of other
// programs in the same file are passed over.
import { type CommPath, type CommStatsDelta, commBounds } from '@infermesh/proto';
import { given, printable } from '../json-values.js';
import { CommDraft, type CommPlace } from './draft.js';
import { sizeClass } from './size-class.js';

const head =
	/^(?:\[[^\]]{1,40}\] )?(?<host>[^\s:]{1,253}):(?<pid>\d+):(?<tid>\d+) (?:\[(?<device>-?\d+)\] )?(?<rest>.*)$/;
const warning = /^(?:\S+:\d+ )?NCCL WARN (?<text>.*)$/;
const info = /^NCCL INFO (?<text>.*)$/;
const ring = /^Ring (?<channel>\d+) : (?<from>-?\d+) -> (?<rank>-?\d+) -> (?<to>-?\d+)/;
const tree = /^Tree (?<channel>\d+) : (?<from>-?\d+) -> (?<rank>-?\d+) -> (?<to>-?\d+(?:\/-?\d+){0,3})/;
const channel =
	/^Channel (?<channel>\d+)(?:\/\d+)? : (?<from>\d+)\[[^\]]*\] -> (?<to>\d+)\[[^\]]*\](?: \[(?:send|receive)\])? via (?<via>\S+)/;
const choice = /^(?<collective>\w+): (?<bytes>\d+) Bytes -> Algo (?<algorithm>\w+) proto (?<protocol>\w+)/;
const initialised =
	/ncclCommInit\w* comm \S+ rank (?<rank>\d+) nranks (?<ranks>\d+) .*?commId (?<id>\S+) - Init (?<stage>START|COMPLETE)/;

const CHOICES_MAX = 1024;
const PATHS_MAX = commBounds.pathsMax;
const COMMUNICATORS_MAX = commBounds.communicatorsMax;

interface Choice {
	readonly collective: string;
	readonly algorithm: string;
	readonly protocol: string;
	readonly bucketId: string;
	count: number;
	bytes: number;
}

/** Follows the log of a node's ranks. Paths and communicators are kept; choices and warnings are of one look. */
export class NcclLogReader {
	readonly #place: CommPlace;
	readonly #paths = new Map<string, CommPath>();
	readonly #communicators = new Map<string, { ranks: number; complete: boolean }>();
	#choices = new Map<string, Choice>();
	#warnings: string[] = [];
	#warningsCount = 0;
	#lines = 0;
	#ncclLines = 0;
	#over = 0;
	#lastMs: number | undefined;

	constructor(place: CommPlace = {}) {
		this.#place = place;
	}

	/** The next line. Never throws. */
	line(text: string): void {
		this.#lines++;
		const groups = head.exec(text)?.groups;
		const rest = groups?.['rest'];
		if (rest === undefined) return;
		const warned = warning.exec(rest)?.groups?.['text'];
		const told = info.exec(rest)?.groups?.['text'];
		if (warned !== undefined) this.#warn(`${groups?.['host']} GPU ${groups?.['device'] ?? '?'}: ${warned}`);
		else if (told !== undefined) this.#info(told);
		else return;
		this.#ncclLines++;
	}

	look(atMs: number): CommStatsDelta {
		const draft = new CommDraft('nccl_log', atMs, this.#place);
		if (this.#lastMs !== undefined) draft.interval(Math.max(0, atMs - this.#lastMs), false);
		for (const path of this.#paths.values()) draft.path(path);
		for (const [id, { ranks, complete }] of this.#communicators)
			draft.communicator({ communicator: id, state: complete ? 'running' : 'initialising', ranks });
		for (const { bucketId, ...choice } of this.#choices.values())
			draft.collective({ communicator: '', bucketId, ...choice });
		draft.warned(this.#warnings, this.#warningsCount);
		if (this.#over > 0) draft.unread(`${this.#over} rings, trees, channels or choices beyond what is kept`);
		if (this.#lines > 0 && this.#ncclLines === 0) draft.unread(`none of ${this.#lines} lines is of NCCL_DEBUG`);
		this.#lastMs = atMs;
		this.#choices = new Map();
		this.#warnings = [];
		this.#warningsCount = this.#lines = this.#ncclLines = this.#over = 0;
		return draft.finish();
	}

	#warn(text: string): void {
		this.#warningsCount++;
		if (this.#warnings.length >= commBounds.warningsMax) this.#warnings.shift();
		this.#warnings.push(printable(text, commBounds.textCharsMax));
	}

	#info(rawText: string): void {
		// Since 2.26 some lines name the rank first.
		const text = rawText.replace(/^\[Rank \d+\] /, '');
		const ringed = ring.exec(text)?.groups;
		if (ringed !== undefined) return this.#path('ring', ringed, [Number(ringed['to'])]);
		const treed = tree.exec(text)?.groups;
		if (treed !== undefined) {
			const below = (treed['to'] ?? '').split('/').map(Number);
			return this.#path('tree', treed, below);
		}
		const routed = channel.exec(text)?.groups;
		if (routed !== undefined)
			return this.#path('channel', { ...routed, rank: routed['from'] }, [Number(routed['to'])], routed['via']);
		const chosen = choice.exec(text)?.groups;
		if (chosen !== undefined) return this.#choose(chosen);
		const begun = initialised.exec(text)?.groups;
		if (begun !== undefined) this.#begin(begun);
	}

	#path(kind: CommPath['kind'], groups: Groups, to: readonly number[], via?: string): void {
		const channelId = Number(groups['channel']);
		const rank = Number(groups['rank']);
		const key = `${kind} ${channelId} ${rank} ${kind === 'channel' ? to.join('/') : ''}`;
		if (!this.#paths.has(key) && this.#paths.size >= PATHS_MAX) {
			this.#over++;
			return;
		}
		const path = { kind, channel: channelId, rank, from: Number(groups['from']), to: to.filter((one) => one >= 0) };
		this.#paths.set(key, { ...path, ...given('via', via === undefined ? undefined : printable(via, 64)) });
	}

	#choose(groups: Groups): void {
		const { collective = '', algorithm = '', protocol = '' } = groups;
		const bytes = Number(groups['bytes']);
		const bucketId = sizeClass(bytes);
		const key = `${collective} ${algorithm} ${protocol} ${bucketId}`;
		let known = this.#choices.get(key);
		if (known === undefined) {
			if (this.#choices.size >= CHOICES_MAX) {
				this.#over++;
				return;
			}
			known = { collective, algorithm, protocol, bucketId, count: 0, bytes: 0 };
			this.#choices.set(key, known);
		}
		known.count++;
		known.bytes += Number.isFinite(bytes) ? bytes : 0;
	}

	#begin(groups: Groups): void {
		const id = printable(groups['id'] ?? '', commBounds.nameCharsMax);
		if (!this.#communicators.has(id) && this.#communicators.size >= COMMUNICATORS_MAX) {
			this.#over++;
			return;
		}
		const complete = groups['stage'] === 'COMPLETE' || this.#communicators.get(id)?.complete === true;
		this.#communicators.set(id, { ranks: Number(groups['ranks']), complete });
	}
}

type Groups = Readonly<Record<string, string | undefined>>;
