// Owns a real etcd cluster on loopback for the external tests: members that can be killed, started again, stopped (SIGSTOP) and continued.
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { EtcdEngine, type EtcdLogin } from '@infermesh/fabric';
import { systemClock, systemRandom } from '@infermesh/host';
import { eventually, type Teardown } from './mesh.js';
import { freePort, program, run, temporaryFolder } from './programs.js';

export interface EtcdMemberProcess {
	readonly name: string;
	/** `host:port` for clients. */
	readonly address: string;
	readonly pid: number;
	kill(): Promise<void>;
	/** Starts it again on the data it had, if it does not run. */
	start(): void;
	signal(name: 'SIGSTOP' | 'SIGCONT'): void;
}

export interface EtcdCluster {
	readonly members: readonly EtcdMemberProcess[];
	readonly addresses: readonly string[];
	engine(options?: {
		readonly prefix?: string;
		readonly addresses?: readonly string[];
		readonly login?: EtcdLogin;
	}): EtcdEngine;
	/** Runs etcdctl against all members; fails with its output. */
	etcdctl(...args: string[]): Promise<string>;
}

let engines = 0;

/** Ends with the test. `args` go to every member. */
export async function startEtcd(t: Teardown, size: number, args: readonly string[] = []): Promise<EtcdCluster> {
	const binary = program('etcd', 'etcd-server');
	const control = program('etcdctl', 'etcd-client');
	const folder = temporaryFolder(t);
	const plans = [];
	for (let at = 0; at < size; at++) plans.push({ name: `m${at}`, client: await freePort(), peer: await freePort() });
	const initial = plans.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',');
	const members = plans.map(({ name, client, peer }) => {
		const clientUrl = `http://127.0.0.1:${client}`;
		const peerUrl = `http://127.0.0.1:${peer}`;
		const urls = ['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl];
		urls.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
		const place = ['--name', name, '--data-dir', path.join(folder, name), '--initial-cluster', initial];
		const logging = ['--logger', 'zap', '--log-level', 'error'];
		return memberProcess(name, `127.0.0.1:${client}`, binary, [...place, ...urls, ...logging, ...args]);
	});
	for (const member of members) member.start();
	t.teardown(async () => {
		for (const member of members) await member.kill();
	});
	const addresses = members.map(({ address }) => address);
	const etcdctl = async (...command: string[]): Promise<string> => {
		const endpoints = ['--endpoints', addresses.join(',')];
		const { code, output } = await run(control, [...endpoints, ...command]);
		if (code !== 0) throw new Error(`etcdctl ${command.join(' ')}: ${output}`);
		return output;
	};
	await eventually('etcd is healthy', () =>
		etcdctl('endpoint', 'health').then(
			() => true,
			() => false,
		),
	);
	const engine: EtcdCluster['engine'] = (options = {}) => {
		engines++;
		const one = new EtcdEngine({
			addresses,
			prefix: `test-${engines}/`,
			credentials: credentials.createInsecure(),
			clock: systemClock,
			random: systemRandom(),
			fault: () => undefined,
			...options,
		});
		t.teardown(() => one.close());
		return one;
	};
	return { members, addresses, engine, etcdctl };
}

function memberProcess(name: string, address: string, binary: string, args: readonly string[]): EtcdMemberProcess {
	let child: ChildProcess | undefined;
	return {
		name,
		address,
		get pid() {
			return child?.pid ?? 0;
		},
		start() {
			if (child !== undefined && child.exitCode === null && child.signalCode === null) return;
			child = spawn(binary, args, { stdio: 'ignore', env: { PATH: '/usr/bin:/bin' } });
		},
		async kill() {
			if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
			const exit = new Promise((resolve) => child?.once('exit', resolve));
			child.kill('SIGKILL');
			await exit;
		},
		signal(signal) {
			child?.kill(signal);
		},
	};
}
