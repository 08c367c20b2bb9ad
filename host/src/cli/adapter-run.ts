// Owns `infermesh adapter run`: the looks of one adapter in time, and the stream of its reports to an agent.
import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js';
import { lookFailed, type ReportCall, type ReportKind, ReportStream } from '@infermesh/adapters';
import { MeshError, type Random } from '@infermesh/proto';
import { TelemetryClient } from '@infermesh/proto/grpc/telemetry/v1/telemetry-client';
import { isLoopback } from '../config/rules.js';
import { type AdapterOptions, openFromOptions } from './adapter-options.js';
import type { CliContext } from './context.js';
import { cliErrors, EXIT_FAILED } from './errors.js';
import { print } from './output.js';

export interface RunOptions extends AdapterOptions {
	readonly agent: string;
	readonly token?: string;
	readonly ca?: string;
	readonly cert?: string;
	readonly key?: string;
	readonly authority: string;
	readonly period?: number;
	readonly looks?: number;
}

/** What was not acknowledged when it ends is waited for this long. */
const FLUSH_MS = 5000;

export async function runAdapter(
	context: CliContext,
	kindOrUrl: string,
	options: RunOptions,
): Promise<number | undefined> {
	const { clock, signal, stderr } = context;
	const client = new TelemetryClient(options.agent, credentialsOf(context, options), {
		'grpc.ssl_target_name_override': options.authority,
	});
	const { kind, adapter } = await openFromOptions(context, kindOrUrl, options);
	const stream = new ReportStream(
		{ kind: kind.stream, adapter: kind.name },
		{
			clock,
			random: randomOf(context),
			connect: () => callOf(client, kind.stream, metadataOf(context, options)),
			refused: (count, reason) => void stderr.write(`${count} reports refused: ${reason}\n`),
			broken: (error) => void stderr.write(`${options.agent}: ${error.message}; trying again\n`),
		},
	);
	const counts = { looks: 0, reports: 0, failures: 0 };
	try {
		while (!signal.aborted) {
			try {
				for (const { key, target, delta } of await adapter.look()) {
					stream.report(key, target, delta);
					counts.reports++;
				}
			} catch (error) {
				counts.failures++;
				stderr.write(`${lookFailed(kind.name, error).format()}\n`);
			}
			if (++counts.looks === options.looks) break;
			await pause(context, options.period ?? kind.periodMs);
		}
		await Promise.race([stream.flushed(), pause(context, FLUSH_MS, false)]);
	} finally {
		stream.close();
		adapter.close();
		client.close();
	}
	const { dropped, refused, held } = stream.counts;
	const done = { kind: kind.name, ...counts, dropped, refused, unacknowledged: held };
	const told = `${counts.looks} looks, ${counts.reports} reports: ${dropped} dropped, ${refused} refused, ${held} not acknowledged\n`;
	print(context, options, done, () => told);
	return refused > 0 || held > 0 || counts.reports === 0 ? EXIT_FAILED : undefined;
}

/** Resolves after a while, or when it is time to end. */
async function pause({ clock, signal }: CliContext, ms: number, endable = true): Promise<void> {
	const { promise, resolve } = Promise.withResolvers<void>();
	const timer = clock.after(ms, resolve, endable ? {} : { unref: true });
	const end = (): void => resolve();
	if (endable) signal.addEventListener('abort', end, { once: true });
	if (endable && signal.aborted) end();
	await promise;
	timer.cancel();
	signal.removeEventListener('abort', end);
}

function credentialsOf(context: CliContext, { agent, ca, cert, key }: RunOptions): ChannelCredentials {
	const pem = (file: string): Buffer => Buffer.from(context.readText(file));
	if (ca !== undefined)
		return credentials.createSsl(pem(ca), key === undefined ? null : pem(key), cert === undefined ? null : pem(cert));
	if (isLoopback(agent.replace(/:\d+$/, ''))) return credentials.createInsecure();
	throw new MeshError(cliErrors, 'IM_CLI_USAGE', `${agent} is not on this machine: --ca, --cert and --key are needed`);
}

function metadataOf(context: CliContext, { token }: RunOptions): Metadata {
	const metadata = new Metadata();
	const given = token ?? context.env['INFERMESH_TOKEN'];
	if (given !== undefined && given !== '') metadata.set('authorization', `Bearer ${given}`);
	return metadata;
}

function callOf(client: TelemetryClient, kind: ReportKind, metadata: Metadata): ReportCall {
	const calls = {
		model: () => client.reportModelState(metadata),
		gpu: () => client.reportGpuState(metadata),
		comm: () => client.reportCommStats(metadata),
		io: () => client.reportIoState(metadata),
	};
	return calls[kind]() as unknown as ReportCall;
}

function randomOf({ randomBytes }: CliContext): Random {
	const nextU32 = (): number => Buffer.from(randomBytes(4)).readUInt32LE(0);
	return { nextU32, nextFloat: () => nextU32() / 2 ** 32 };
}
