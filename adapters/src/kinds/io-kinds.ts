// Owns the adapters of stores, checkpoints and data sets by name.
import { FileStore } from '../io/file-store.js';
import { GcsStore } from '../io/gcs-store.js';
import { StoreProbe } from '../io/probe.js';
import { S3Store } from '../io/s3-store.js';
import type { ObjectStore } from '../io/store.js';
import { StoreMetricsReader } from '../io/store-metrics.js';
import { TrainingMetricsReader } from '../io/training-metrics.js';
import { given, parseJson, recordOf } from '../json-values.js';
import { type AdapterContext, type AdapterKind, type AdapterSetting, fetchPage, type Settings, utf8 } from './kind.js';

type Io = AdapterKind<'io'>;

const TIMEOUT_MS = 30_000;
const PAGES_MAX = 10;
const HTTP = ['http:', 'https:'] as const;
/** A token is asked for again so long before it ends. */
const TOKEN_MARGIN_MS = 60_000;

const probeSettings: readonly AdapterSetting[] = [
	{ name: 'object_bytes', description: 'Size of the objects written and read.', default: '1048576' },
	{ name: 'rounds', description: 'Objects at each look, one after the other.', default: '3' },
];

const nothing = (): void => undefined;

function probing(store: ObjectStore, settings: Settings, { effects, node, jobId }: AdapterContext) {
	const probe = new StoreProbe(store, effects.clock, effects.randomBytes, {
		objectBytes: settings.whole('object_bytes', 1, 64 * 1024 * 1024),
		roundsPerLook: settings.whole('rounds', 1, 16),
		...given('node', node === '' ? undefined : node),
		...given('jobId', jobId === '' ? undefined : jobId),
	});
	const look = async () => [{ key: store.name, target: '', delta: await probe.look() }];
	return Promise.resolve({ look, close: nothing });
}

/** `s3://bucket/prefix` → bucket and prefix; a prefix without a slash at its end gets one. */
function placeOf(url: URL): { readonly bucket: string; readonly prefix: string } {
	const path = decodeURIComponent(url.pathname).replace(/^\/+/, '');
	return { bucket: url.hostname, prefix: path === '' || path.endsWith('/') ? path : `${path}/` };
}

const s3: Io = {
	name: 's3',
	stream: 'io',
	summary: 'An S3-compatible store, measured by small signed writes, reads and listings; age of the newest checkpoint',
	periodMs: 60_000,
	settings: [
		{ name: 'url', description: 's3://BUCKET/PREFIX: where checkpoints lie, and probes are written.', required: true },
		{ name: 'endpoint', description: 'URL of the store; default: AWS in the region.' },
		{ name: 'region', description: 'For the signature.', default: 'us-east-1' },
		{ name: 'access_key_id', description: 'Who signs.', required: true },
		{ name: 'secret_access_key', description: 'With what.', required: true, secret: true },
		{ name: 'session_token', description: 'Of temporary credentials.', secret: true },
		...probeSettings,
	],
	open: (settings, context) => {
		const region = settings.text('region');
		const endpoint = settings.optional('endpoint') ?? `https://s3.${region}.amazonaws.com`;
		if (settings.optional('endpoint') !== undefined) settings.url('endpoint', HTTP);
		const options = {
			endpoint,
			...placeOf(settings.url('url', ['s3:'])),
			region,
			credentials: {
				accessKeyId: settings.text('access_key_id'),
				secretAccessKey: settings.text('secret_access_key'),
				...given('sessionToken', settings.optional('session_token')),
			},
			timeoutMs: TIMEOUT_MS,
			pagesMax: PAGES_MAX,
		};
		return probing(new S3Store(options, context.effects.http, context.effects.clock), settings, context);
	},
};

/** A bearer token that is given, or asked for at a metadata server as Google's machines have it, and kept until it ends. */
function tokenOf(settings: Settings, { effects }: AdapterContext): () => Promise<string | undefined> {
	const fixed = settings.optional('token');
	if (fixed !== undefined || settings.optional('token_url') === undefined) return () => Promise.resolve(fixed);
	const url = settings.url('token_url', HTTP).href;
	let kept: { readonly token: string; readonly untilMs: number } | undefined;
	return async () => {
		const nowMs = effects.clock.nowMs();
		if (kept !== undefined && nowMs < kept.untilMs) return kept.token;
		const headers = { 'metadata-flavor': 'Google' };
		const answer = await effects.http({ method: 'GET', url, headers, timeoutMs: 5000, bodyMaxBytes: 64 * 1024 });
		const { access_token: token, expires_in: seconds } = recordOf(parseJson(utf8(answer.body))) ?? {};
		if (answer.status !== 200 || typeof token !== 'string') throw new Error(`no token: ${answer.status}`);
		kept = { token, untilMs: nowMs + (typeof seconds === 'number' ? seconds * 1000 : 0) - TOKEN_MARGIN_MS };
		return token;
	};
}

const gcs: Io = {
	name: 'gcs',
	stream: 'io',
	summary: 'A store with Google Cloud Storage’s JSON API, measured likewise',
	periodMs: 60_000,
	settings: [
		{ name: 'url', description: 'gs://BUCKET/PREFIX: where checkpoints lie, and probes are written.', required: true },
		{ name: 'endpoint', description: 'URL of the store.', default: 'https://storage.googleapis.com' },
		{ name: 'token', description: 'Bearer token.', secret: true },
		{
			name: 'token_url',
			description: 'Metadata server that gives tokens, where none is given.',
			default: 'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token',
		},
		...probeSettings,
	],
	open: (settings, context) => {
		const options = {
			endpoint: settings.url('endpoint', HTTP).href,
			...placeOf(settings.url('url', ['gs:'])),
			token: tokenOf(settings, context),
			timeoutMs: TIMEOUT_MS,
			pagesMax: PAGES_MAX,
		};
		return probing(new GcsStore(options, context.effects.http), settings, context);
	},
};

const file: Io = {
	name: 'file',
	stream: 'io',
	summary: 'A folder (local disk, NFS, Lustre, FUSE), measured with fsync; age of the newest file',
	periodMs: 60_000,
	settings: [
		{ name: 'path', description: 'Folder where checkpoints lie, and probes are written.', required: true },
		...probeSettings,
	],
	open: (settings, context) =>
		probing(new FileStore(settings.text('path'), context.effects.files, context.effects.clock), settings, context),
};

const storeMetrics: Io = {
	name: 'store_metrics',
	stream: 'io',
	summary: 'What AIStore or MinIO say themselves, over all their clients',
	periodMs: 15_000,
	settings: [{ name: 'url', description: 'Their metrics page.', required: true }],
	open: (settings, { effects, node, jobId }) => {
		const url = settings.url('url', HTTP);
		const place = {
			...given('node', node === '' ? undefined : node),
			...given('jobId', jobId === '' ? undefined : jobId),
		};
		const reader = new StoreMetricsReader({ store: url.origin, ...place });
		const look = async () => {
			const body = utf8(await fetchPage(effects, url));
			return [{ key: url.origin, target: '', delta: reader.look(body, effects.clock.nowMs()) }];
		};
		return Promise.resolve({ look, close: nothing });
	},
};

const trainingMetrics: Io = {
	name: 'training_metrics',
	stream: 'io',
	summary:
		'What a training job says of its checkpoints and data sets (infermesh_checkpoint_…, infermesh_dataset_…, Ray Train)',
	periodMs: 15_000,
	settings: [{ name: 'url', description: 'Its metrics page.', required: true }],
	open: (settings, { effects, node, jobId }) => {
		const url = settings.url('url', HTTP);
		const reader = new TrainingMetricsReader(node === '' ? undefined : node);
		const look = async () => {
			const deltas = reader.look(utf8(await fetchPage(effects, url)), effects.clock.nowMs());
			return deltas.map((delta) => ({
				key: `${delta.jobId ?? ''} ${delta.rank ?? ''} ${delta.store}`,
				target: '',
				delta: delta.jobId === undefined && jobId !== '' ? { ...delta, jobId } : delta,
			}));
		};
		return Promise.resolve({ look, close: nothing });
	},
};

export const ioKinds: readonly Io[] = [s3, gcs, file, storeMetrics, trainingMetrics];
