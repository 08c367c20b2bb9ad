// Owns a real etcd cluster on loopback for the external tests: members that can be killed, started again, stopped (SIGSTOP) and continued.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
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

/** PEM files of one pair that both members and clients show, and of the authority it is from. */
export interface EtcdTls {
	readonly caFile: string;
	readonly certFile: string;
	readonly keyFile: string;
}

/** Files for loopback, made by OpenSSL; gone after the test. */
export async function makeEtcdTls(t: Teardown): Promise<EtcdTls> {
	const openssl = program('openssl', 'openssl');
	const folder = temporaryFolder(t);
	const file = (name: string): string => path.join(folder, name);
	const [caFile, certFile, keyFile] = [file('ca.pem'), file('pair.pem'), file('pair.key')];
	const extensions = file('extensions');
	writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
	const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
	const signing = ['-CA', caFile, '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', extensions];
	const steps = [
		['req', '-x509', ...key, '-days', '2', '-subj', '/CN=test authority', '-keyout', file('ca.key'), '-out', caFile],
		['req', ...key, '-subj', '/CN=pair', '-keyout', keyFile, '-out', file('pair.csr')],
		['x509', '-req', '-in', file('pair.csr'), ...signing, '-out', certFile],
	];
	for (const step of steps) {
		const { code, output } = await run(openssl, step);
		if (code !== 0) throw new Error(`openssl ${step[0]}: ${output}`);
	}
	return { caFile, certFile, keyFile };
}

/** Ends with the test. `args` go to every member. With `tls` clients and members must show a certificate. */
export async function startEtcd(
	t: Teardown,
	size: number,
	args: readonly string[] = [],
	tls?: EtcdTls,
): Promise<EtcdCluster> {
	const binary = program('etcd', 'etcd-server');
	const control = program('etcdctl', 'etcd-client');
	const folder = temporaryFolder(t);
	const plans = [];
	for (let at = 0; at < size; at++) plans.push({ name: `m${at}`, client: await freePort(), peer: await freePort() });
	const scheme = tls === undefined ? 'http' : 'https';
	const initial = plans.map(({ name, peer }) => `${name}=${scheme}://127.0.0.1:${peer}`).join(',');
	const members = plans.map(({ name, client, peer }) => {
		const clientUrl = `${scheme}://127.0.0.1:${client}`;
		const peerUrl = `${scheme}://127.0.0.1:${peer}`;
		const urls = ['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl];
		urls.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
		const place = ['--name', name, '--data-dir', path.join(folder, name), '--initial-cluster', initial];
		const logging = ['--logger', 'zap', '--log-level', 'error'];
		const secured = tls === undefined ? [] : ['--cert-file', tls.certFile, '--key-file', tls.keyFile];
		if (tls !== undefined) {
			secured.push('--trusted-ca-file', tls.caFile, '--client-cert-auth');
			secured.push('--peer-cert-file', tls.certFile, '--peer-key-file', tls.keyFile);
			secured.push('--peer-trusted-ca-file', tls.caFile, '--peer-client-cert-auth');
		}
		return memberProcess(name, `127.0.0.1:${client}`, binary, [...place, ...urls, ...logging, ...secured, ...args]);
	});
	for (const member of members) member.start();
	t.teardown(async () => {
		for (const member of members) await member.kill();
	});
	const addresses = members.map(({ address }) => address);
	const etcdctl = async (...command: string[]): Promise<string> => {
		const endpoints = ['--endpoints', addresses.join(',')];
		if (tls !== undefined) endpoints.push('--cacert', tls.caFile, '--cert', tls.certFile, '--key', tls.keyFile);
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
			credentials: clientCredentials(tls),
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

function clientCredentials(tls: EtcdTls | undefined): ChannelCredentials {
	if (tls === undefined) return credentials.createInsecure();
	const [ca, key, pair] = [tls.caFile, tls.keyFile, tls.certFile].map((file) => readFileSync(file));
	return credentials.createSsl(ca, key, pair);
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
