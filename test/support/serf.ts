// Owns pools of real Serf agents and of our members that speak memberlist with them: starting both on loopback ports, asking an agent whom it
// lists. Every process ends with its test.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import {
	encodeTags,
	GossipMembership,
	MemberlistCodec,
	MemberlistKeys,
	type MembershipEvent,
	type SwimSettings,
	serfProtocol,
	swimProfiles,
	TcpExchange,
	UdpNetwork,
	unsignedRecords,
} from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import { eventually, type Teardown } from './mesh.js';
import { freePort, program } from './programs.js';
import { realClock } from './real-clock.js';

export interface AgentOptions {
	readonly profile?: 'local' | 'lan';
	/** Base64 of 32 bytes. */
	readonly encrypt?: string;
	readonly join?: string;
	readonly tag?: string;
	readonly more?: readonly string[];
	/** Each line of its log, as it comes. */
	readonly onLine?: (line: string) => void;
}

export interface SerfMember {
	readonly name: string;
	readonly addr: string;
	readonly tags: Readonly<Record<string, string>>;
	readonly status: 'alive' | 'leaving' | 'left' | 'failed';
}

export interface SerfAgent {
	readonly name: string;
	readonly address: string;
	readonly process: ChildProcess;
	/** Lines of its log. */
	readonly log: readonly string[];
	members(): Promise<readonly SerfMember[]>;
	/** What it lists of one member; undefined for nothing. */
	member(name: string): Promise<SerfMember | undefined>;
	/** A graceful leave; resolves when the process has ended. */
	leave(): Promise<void>;
	kill(): Promise<void>;
}

const execute = promisify(execFile);

export async function startAgent(t: Teardown, name: string, options: AgentOptions = {}): Promise<SerfAgent> {
	const binary = program('serf', 'serf');
	const [port, rpcPort] = [await freePort(), await freePort()];
	const [address, rpc] = [`127.0.0.1:${port}`, `127.0.0.1:${rpcPort}`];
	const { profile = 'local', encrypt, join, tag, more = [] } = options;
	const flags = [`-bind=${address}`, `-rpc-addr=${rpc}`, `-node=${name}`, `-profile=${profile}`, '-log-level=debug'];
	if (encrypt !== undefined) flags.push(`-encrypt=${encrypt}`);
	if (join !== undefined) flags.push(`-retry-join=${join}`, '-retry-interval=1s');
	if (tag !== undefined) flags.push(`-tag=${tag}`);
	const child = spawn(binary, ['agent', ...flags, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
	const ended = once(child, 'close');
	const log: string[] = [];
	for (const output of [child.stdout, child.stderr])
		createInterface(output).on('line', (line) => {
			log.push(line);
			options.onLine?.(line);
		});
	const kill = async (): Promise<void> => {
		child.kill('SIGKILL');
		await ended;
	};
	t.teardown(kill);
	const members = async (): Promise<readonly SerfMember[]> => {
		const { stdout } = await execute(binary, ['members', `-rpc-addr=${rpc}`, '-format=json'], { timeout: 10_000 });
		return (JSON.parse(stdout) as { readonly members: readonly SerfMember[] }).members;
	};
	const agent: SerfAgent = {
		name,
		address,
		process: child,
		log,
		members,
		member: async (of) => (await members()).find((one) => one.name === of),
		kill,
		leave: async () => {
			await execute(binary, ['leave', `-rpc-addr=${rpc}`], { timeout: 20_000 });
			await ended;
		},
	};
	await eventually(`${name} runs`, () => log.some((line) => line.includes('Serf agent running')), { withinMs: 20_000 });
	return agent;
}

export interface OwnMember {
	readonly name: string;
	readonly address: string;
	readonly membership: GossipMembership;
	readonly events: MembershipEvent[];
	state(name: string): string | undefined;
}

export interface OwnOptions {
	readonly settings?: SwimSettings;
	readonly keys?: MemberlistKeys;
	readonly seeds?: readonly string[];
	readonly tags?: Readonly<Record<string, string>>;
	readonly seed?: number;
	readonly incarnation?: number;
	readonly compress?: boolean;
	readonly onEvent?: (event: MembershipEvent) => void;
}

/** One of our members, speaking memberlist. The caller stops it. */
export async function startOwn(name: string, options: OwnOptions = {}): Promise<OwnMember> {
	const { keys, compress, seeds = [], tags = {}, incarnation } = options;
	const codec = new MemberlistCodec({
		self: name,
		...(keys === undefined ? {} : { keys }),
		...(compress === undefined ? {} : { compress }),
	});
	const exchanges = new TcpExchange({
		clock: realClock,
		framing: codec.framing,
		requestMaxBytes: codec.streamMaxBytes,
	});
	const network = new UdpNetwork({ bind: '127.0.0.1:0', exchanges });
	const events: MembershipEvent[] = [];
	const membership = new GossipMembership({
		core: {
			id: name,
			meta: encodeTags(new Map(Object.entries(tags))),
			protocol: serfProtocol,
			incarnation,
			settings: options.settings ?? swimProfiles.local,
			random: new SeededRandom(options.seed ?? Math.floor(Math.random() * 2 ** 32)),
			signer: unsignedRecords,
			verifier: unsignedRecords,
			signedRecords: false,
			digestFirst: false,
			seeds,
		},
		codec,
		network,
		clock: realClock,
		persist: () => undefined,
		onEvent: (event) => {
			events.push(event);
			options.onEvent?.(event);
		},
	});
	const address = await membership.start();
	return { name, address, membership, events, state: (of) => membership.member(of)?.state };
}

/** A key as `-encrypt` takes it, and for our members. */
export function poolKey(bytes: Uint8Array): { readonly encrypt: string; readonly keys: MemberlistKeys } {
	return { encrypt: Buffer.from(bytes).toString('base64'), keys: new MemberlistKeys(bytes) };
}
