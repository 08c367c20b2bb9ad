// Owns the processes of the consensus bench: three members on loopback with certificates of one authority, their folders, and calls to them.
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CertificateAuthority, generateNodeKey, pemOfCertificate } from '@infermesh/fabric';
import type { Load, LoadResult, MemberCall, MemberStart } from './member.js';

export interface MemberView {
	readonly leader: string | undefined;
	readonly role: string;
	readonly term: number;
	readonly commitIndex: number;
	readonly appliedIndex: number;
	readonly leads: boolean;
}

function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.once('error', reject);
		server.listen(0, '127.0.0.1', () => {
			const address = server.address();
			server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
		});
	});
}

class MemberProcess {
	readonly start: MemberStart;
	#child: ChildProcess | undefined;
	#number = 0;

	constructor(start: MemberStart) {
		this.start = start;
	}

	get running(): boolean {
		return this.#child !== undefined;
	}

	async run(): Promise<void> {
		const child = fork(fileURLToPath(new URL('member.js', import.meta.url)), [], {
			stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
		});
		this.#child = child;
		child.setMaxListeners(1000);
		await new Promise<void>((resolve, reject) => {
			child.once('exit', (code) => reject(new Error(`a member ended with ${code}`)));
			child.once('message', () => resolve());
			child.send(this.start);
		});
	}

	call<T>(call: MemberCall): Promise<T> {
		const child = this.#child;
		const number = ++this.#number;
		return new Promise((resolve, reject) => {
			if (child === undefined) {
				reject(new Error('the member is not running'));
				return;
			}
			const onExit = (): void => reject(new Error('the member has ended'));
			const onMessage = (message: { readonly number?: number; readonly value?: T; readonly error?: string }): void => {
				if (message.number !== number) return;
				child.off('message', onMessage);
				child.off('exit', onExit);
				if (message.error === undefined) resolve(message.value as T);
				else reject(new Error(message.error));
			};
			child.on('message', onMessage);
			child.once('exit', onExit);
			child.send({ number, call });
		});
	}

	async kill(): Promise<void> {
		const child = this.#child;
		this.#child = undefined;
		if (child === undefined || child.exitCode !== null) return;
		await new Promise<void>((resolve) => {
			child.once('exit', () => resolve());
			child.kill('SIGKILL');
		});
	}
}

interface RigOptions {
	readonly groups?: number;
	readonly electionTicks?: number;
}

export class ConsensusRig {
	readonly members: readonly MemberProcess[];
	readonly #folder: string;

	private constructor(members: readonly MemberProcess[], folder: string) {
		this.members = members;
		this.#folder = folder;
	}

	/** `groups`: Raft groups on each member. `electionTicks`: as in MemberStart. */
	static async open({ groups = 1, electionTicks }: RigOptions = {}): Promise<ConsensusRig> {
		// On a real disk, beside the build: a folder in memory would make fsync free.
		const folder = mkdtempSync(join(process.cwd(), '.bench-consensus-'));
		const voters = Array.from({ length: 3 }, () => randomUUID()).sort();
		const ports = await Promise.all(voters.map(() => freePort()));
		const nowMs = Date.now();
		const authority = await CertificateAuthority.create('bench.test', nowMs);
		const rootPem = authority.bundle.roots.map((root) => pemOfCertificate(root)).join('');
		const members = await Promise.all(
			voters.map(async (id) => {
				const keys = await generateNodeKey();
				const chain = await authority.issueNode(id, keys.publicKey, nowMs);
				const chainPem = chain.map((der) => pemOfCertificate(der)).join('');
				const keyPem = keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
				const timing = electionTicks === undefined ? {} : { electionTicks };
				const place = { id, voters, ports, folder: join(folder, id) };
				return new MemberProcess({ ...place, rootPem, chainPem, keyPem, groups, ...timing });
			}),
		);
		const rig = new ConsensusRig(members, folder);
		await Promise.all(members.map((member) => member.run()));
		await rig.leader();
		return rig;
	}

	status(member: MemberProcess): Promise<MemberView> {
		return member.call<MemberView>({ call: 'status' });
	}

	/** Waits for a leader that has committed in its term. */
	async leader(): Promise<MemberProcess> {
		for (let tries = 0; tries < 2000; tries++) {
			for (const member of this.members.filter(({ running }) => running)) {
				if ((await this.status(member)).leads) return member;
			}
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		throw new Error('no leader within 20 s');
	}

	load(member: MemberProcess, load: Load): Promise<LoadResult> {
		return member.call<LoadResult>({ call: 'load', load });
	}

	/** Kills the leader, waits until a write at another member is committed, and answers after how many milliseconds; then all are there again. */
	async failover(): Promise<number> {
		const leader = await this.leader();
		const other = this.members.find((member) => member !== leader) ?? leader;
		const fromMs = performance.now();
		const killed = leader.kill();
		await other.call({ call: 'writeOnce', timeoutMs: 20_000 });
		const tookMs = performance.now() - fromMs;
		await killed;
		await leader.run();
		const { commitIndex } = await this.status(await this.leader());
		while ((await this.status(leader)).appliedIndex < commitIndex)
			await new Promise((resolve) => setTimeout(resolve, 20));
		return tookMs;
	}

	async close(): Promise<void> {
		await Promise.all(this.members.map((member) => member.kill()));
		rmSync(this.#folder, { recursive: true, force: true });
	}
}
