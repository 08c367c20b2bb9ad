// Owns the commands of the golden transcripts (test/golden/raft): one command a line, what it brings about in indented lines below. Everything that
// happens is printed; nothing happens by itself.
import type { ChangeStep } from '../membership.js';
import type { Message, PeerId } from '../messages.js';
import type { Ready } from '../ready.js';
import { describeEntries, describeMembership, describeMessage, describeWrite } from './describe.js';
import { TestGroup } from './group.js';

const settleMovesMax = 500;

function changeStep(word: string): ChangeStep {
	const id = word.slice(1);
	if (word.startsWith('+')) return { action: 'add-voter', id };
	if (word.startsWith('~')) return { action: 'add-learner', id };
	if (word.startsWith('-')) return { action: 'remove', id };
	throw new Error(`no step of a change: ${word}`);
}

export class Transcript {
	#group = new TestGroup({ seed: 1 });
	#lines: string[] = [];

	/** Runs one command and answers what it printed. */
	run(line: string): readonly string[] {
		this.#lines = [];
		const [command = '', ...words] = line.split(' ');
		const handler = this.#commands[command];
		if (handler === undefined) throw new Error(`no command of a transcript: ${line}`);
		handler(words);
		return this.#lines;
	}

	#print(line: string): void {
		this.#lines.push(line);
	}

	#printResult(result: object | string): void {
		const text = typeof result === 'string' ? result : Object.values(result).join(' ');
		this.#print(text);
	}

	readonly #commands: Readonly<Record<string, (words: readonly string[]) => void>> = {
		/** with LIMIT=NUMBER …: limits of the group, before it is founded. */
		with: (words) => {
			const limits = Object.fromEntries(words.map((word) => word.split('='))) as Record<string, string>;
			const numbers = Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, Number(value)]));
			this.#group = new TestGroup({ seed: 1, limits: numbers });
		},
		/** found ID … [learners ID …] */
		found: (words) => {
			const at = words.indexOf('learners');
			if (at < 0) this.#group.found(words);
			else this.#group.found(words.slice(0, at), words.slice(at + 1));
		},
		/** join ID …: members with nothing on their disks. */
		join: (words) => {
			for (const id of words) this.#group.add(id);
		},
		campaign: ([id = '']) => this.#group.core(id).campaign(),
		/** elect ID: all that an election takes, unprinted. */
		elect: ([id = '']) => {
			this.#group.core(id).campaign();
			this.#group.settle();
			this.#group.core(id).tick();
			this.#group.settle();
		},
		/** tick ID [TIMES] */
		tick: ([id = '', times = '1']) => {
			for (let tick = 0; tick < Number(times); tick++) this.#group.core(id).tick();
		},
		/** propose ID TEXT …: each word a command; a number with `B` is that many bytes. */
		propose: ([id = '', ...texts]) => {
			const data = texts.map((text) => Buffer.from(/^\d+B$/.test(text) ? '.'.repeat(Number.parseInt(text, 10)) : text));
			this.#printResult(this.#group.core(id).propose(data));
		},
		/** change ID +VOTER ~LEARNER -GONE … */
		change: ([id = '', ...steps]) => this.#printResult(this.#group.core(id).proposeMembership(steps.map(changeStep))),
		/** read ID CONTEXT */
		read: ([id = '', context = '0']) => this.#printResult(this.#group.core(id).readIndex(Number(context))),
		transfer: ([id = '', to = '']) => this.#printResult(this.#group.core(id).transferLeadership(to)),
		work: (words) => {
			for (const id of words) this.#work(id);
		},
		/** durable ID …: the oldest write of each, once for every time it is named. */
		durable: (words) => {
			for (const id of words) this.#persist(id);
		},
		/** deliver TO [FROM]: all that is on its way now. */
		deliver: ([to, from]) => {
			for (const message of this.#between(to, from)) this.#deliver(message);
		},
		/** drop TO [FROM] */
		drop: ([to, from]) => {
			for (const message of this.#between(to, from)) this.#drop(message);
		},
		/** settle [without ID …] [losing KIND …]: works, writes and delivers until nothing moves, but for what is lost. */
		settle: (words) => {
			const at = words.includes('losing') ? words.indexOf('losing') : words.length;
			this.#settle(words.slice(1, at), words.slice(at + 1));
		},
		restart: ([id = '']) => this.#group.restart(id),
		/** snapshot ID keep FIRST: of what is applied; the log from FIRST on stays. */
		snapshot: ([id = '', , keep = '0']) => {
			const { index, term } = this.#group.snapshot(id, Number(keep));
			this.#print(`snapshot ${index}/${term}, log from ${this.#group.core(id).firstIndex}`);
		},
		/** report ID PEER ok|failed: what the transport says of a snapshot. */
		report: ([id = '', peer = '', how]) => this.#group.core(id).reportSnapshot(peer, how === 'ok'),
		status: (words) => {
			for (const id of words.length === 0 ? this.#group.members.keys() : words) this.#status(id);
		},
		peers: ([id = '']) => {
			for (const { id: peer, match, next, state, inflight, caughtUp } of this.#group.core(id).peers()) {
				const more = `${inflight > 0 ? `, ${inflight} on their way` : ''}${caughtUp ? ', caught up' : ''}`;
				this.#print(`${peer}: ${state}, match ${match}, next ${next}${more}`);
			}
		},
		log: ([id = '']) => {
			const { disk } = this.#group.member(id);
			this.#print(`${id} has on disk ${describeEntries(disk.entries)}`);
		},
	};

	#between(to: PeerId | undefined, from: PeerId | undefined): Message[] {
		return this.#group.network.filter(
			(message) => (to === undefined || message.to === to) && (from === undefined || message.from === from),
		);
	}

	#deliver(message: Message): void {
		this.#print(describeMessage(message));
		this.#group.deliver(message);
	}

	#drop(message: Message): void {
		this.#print(`lost: ${describeMessage(message)}`);
		this.#group.network = this.#group.network.filter((other) => other !== message);
	}

	#work(id: PeerId): boolean {
		const before = describeMembership(this.#group.core(id).membership);
		const ready = this.#group.work(id);
		if (ready === undefined) return false;
		this.#printReady(id, ready);
		const after = describeMembership(this.#group.core(id).membership);
		if (before !== after) this.#print(`${id} has members ${after}`);
		return true;
	}

	#printReady(id: PeerId, ready: Ready): void {
		if (ready.softState !== undefined) {
			const { role, term, leader } = ready.softState;
			this.#print(
				`${id} is ${role} in term ${term}${leader === undefined || leader === id ? '' : `, led by ${leader}`}`,
			);
		}
		if (ready.restore !== undefined) {
			const { index, term, membership } = ready.restore;
			this.#print(`${id} restores ${index}/${term} ${describeMembership(membership)}`);
		}
		if (ready.persist !== undefined) this.#print(describeWrite(id, ready.persist));
		if (ready.committed.length > 0) this.#print(`${id} applies ${describeEntries(ready.committed)}`);
		for (const { context, index } of ready.readStates) this.#print(`${id} may read at ${index}, context ${context}`);
	}

	#persist(id: PeerId): boolean {
		const batch = this.#group.persist(id);
		if (batch === undefined) return false;
		this.#print(`${id} has #${batch.token} on disk`);
		return true;
	}

	#settle(cut: readonly PeerId[], losing: readonly string[]): void {
		for (let moves = 0; moves < settleMovesMax; moves++) {
			let moved = false;
			for (const id of this.#group.members.keys()) {
				if (cut.includes(id)) continue;
				if (this.#work(id)) moved = true;
				while (this.#persist(id)) moved = true;
			}
			for (const message of this.#group.network.slice()) {
				moved = true;
				if (cut.includes(message.to) || cut.includes(message.from) || losing.includes(message.kind))
					this.#drop(message);
				else this.#deliver(message);
			}
			if (!moved) return;
		}
		throw new Error('does not settle');
	}

	#status(id: PeerId): void {
		const { role, term, leader, commitIndex, appliedIndex, durableIndex, lastIndex, membership } = this.#group.core(id);
		const led = leader === undefined || leader === id ? '' : `, led by ${leader}`;
		const log = `commit ${commitIndex}, applied ${appliedIndex}, durable ${durableIndex}, last ${lastIndex}`;
		this.#print(`${id}: ${role} in term ${term}${led}; ${log}; ${describeMembership(membership)}`);
	}
}

/** Runs a transcript again: comments and commands stay, what they print is written anew. */
export function rerun(text: string): string {
	const transcript = new Transcript();
	const lines: string[] = [];
	for (const line of text.split('\n')) {
		if (line.startsWith('  ')) continue;
		lines.push(line);
		if (line !== '' && !line.startsWith('#')) lines.push(...transcript.run(line).map((printed) => `  ${printed}`));
	}
	return lines.join('\n');
}
