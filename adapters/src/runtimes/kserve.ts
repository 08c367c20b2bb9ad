// Owns reading the metadata endpoints of the Open Inference Protocol (KServe v2): which server this is, whether it takes requests, and whether
// the models asked for are loaded. It carries no load, so for servers without metrics load is what this mesh has in flight.
import { deltaBounds, type ModelStateDelta } from '@infermesh/proto';
import { parseJson, recordOf, textOf } from '../json-values.js';
import type { MetricSamples } from '../prometheus/samples.js';
import { WantedNames } from '../prometheus/wanted-names.js';
import type { Answer, Companion, RuntimeAdapter, Scrape } from './adapter.js';
import { Draft } from './draft.js';

/** Of names and versions that servers tell. */
const TEXT_CHARS_MAX = 200;

/** Models of a target that are asked for one by one. */
const MODELS_ASKED_MAX = 8;

/** `/v2/health/ready`, `/v2` and `/v2/models/{m}` at the target's URL, every ten seconds. */
export const kserveCompanion: Companion = {
	periodMs: 10_000,
	paths: (models) => [
		'/v2/health/ready',
		'/v2',
		...models.slice(0, MODELS_ASKED_MAX).map((model) => `/v2/models/${encodeURIComponent(model)}`),
	],
	read({ path, status, body }: Answer, draft: Draft): void {
		if (path === '/v2/health/ready') readiness(status, body, draft);
		else if (path === '/v2') server(status, body, draft);
		else model(path, status, body, draft);
	},
};

function readiness(status: number, body: string, draft: Draft): void {
	const said = recordOf(parseJson(body))?.['ready'] ?? recordOf(parseJson(body))?.['live'];
	if (status >= 200 && status < 300) draft.ready(said !== false);
	else if (status === 503 || status === 400) draft.ready(false);
	else draft.unread(`ready: /v2/health/ready answered ${status}`);
}

function server(status: number, body: string, draft: Draft): void {
	const found = recordOf(parseJson(body));
	const version = textOf(found?.['version'], TEXT_CHARS_MAX);
	if (status !== 200 || found === undefined || textOf(found['name'], TEXT_CHARS_MAX) === undefined)
		draft.unread(`version: /v2 answered ${status} without a server's metadata`);
	else if (version !== undefined) draft.version(version);
}

function model(path: string, status: number, body: string, draft: Draft): void {
	const asked = decodeURIComponent(path.slice('/v2/models/'.length));
	const name = status === 200 ? textOf(recordOf(parseJson(body))?.['name'], TEXT_CHARS_MAX) : undefined;
	if (name !== undefined) draft.models([...(draft.finish().models ?? []), name].slice(0, deltaBounds.modelsMax));
	else {
		draft.ready(false);
		draft.unread(`models: ${asked} answered ${status} and is not there`);
	}
}

/** Reads servers of the protocol whose metrics, if any, nobody here knows. */
export const kserveAdapter: RuntimeAdapter = {
	name: 'kserve',
	wanted: new WantedNames([]),
	companions: [kserveCompanion],
	detect: () => false,
	recognises: (_samples: MetricSamples) => false,
	read: (current: Scrape): ModelStateDelta => new Draft(current.atMs, 'kserve').finish(),
};
