// Owns what the router answers of itself, in the shapes of those who ask: lists of models, health, and KServe's server and model readiness.
import type { OwnAnswer } from '@infermesh/adapters';
import type { RouterEnv } from './env.js';
import type { Refusal } from './errors.js';
import { modelBody, modelsBody } from './models.js';

interface Answer {
	readonly status: number;
	readonly body: string;
	readonly refusal?: Refusal;
}

/** Answered to anyone, also when the router is full: probes have no key, and must not read fullness as death. */
export function isOpen(answer: OwnAnswer): boolean {
	return answer === 'health' || answer === 'live' || answer === 'ready' || answer === 'ping';
}

/** `model` is the name in the path, where there is one. */
export function ownAnswer(env: RouterEnv, answer: OwnAnswer, model: string): Answer {
	const { directory } = env.ports;
	const { closing } = env;
	switch (answer) {
		case 'health':
			return json(!closing, { status: closing ? 'closing' : 'ok' });
		case 'ping':
			return json(!closing, { status: closing ? 'Unhealthy' : 'Healthy' });
		case 'live':
			return json(true, { live: true });
		case 'ready': {
			const ready = !closing && directory.models().length > 0;
			return json(ready, { ready });
		}
		case 'server':
			return json(true, { name: 'infermesh', version: SERVER_VERSION, extensions: EXTENSIONS });
		case 'models':
			return { status: 200, body: modelsBody(directory) };
		case 'model': {
			const body = modelBody(directory, model);
			return body === undefined ? unknown : { status: 200, body };
		}
		case 'model_ready':
			return modelReady(env, model);
	}
}

/** Version of the protocol's server metadata: the router's own API, not that of a runtime. */
const SERVER_VERSION = '2';
/** What passes through to runtimes that have it. */
const EXTENSIONS = ['generate', 'binary_tensor_data', 'statistics', 'model_configuration', 'sequence'];

const unknown: Answer = { status: 404, body: '', refusal: { code: 'IM_ROUTE_MODEL_UNKNOWN', param: 'model' } };

function json(good: boolean, value: object): Answer {
	return { status: good ? 200 : 503, body: JSON.stringify(value) };
}

/** A model is ready when a target of it, or of a fallback, may be chosen now. */
function modelReady({ ports, closing }: RouterEnv, model: string): Answer {
	const route = ports.directory.resolve(model, 0);
	if (route === undefined) return unknown;
	const ready = !closing && [route.pool, ...route.fallbacks].some((pool) => ports.decider.ready(pool));
	return json(ready, { name: model, ready });
}
