// Owns the answers of `GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape.
import type { ModelDirectory } from './ports.js';

type ListedModel = ReturnType<ModelDirectory['models']>[number];

function entry(model: ListedModel): object {
	return { id: model.id, object: 'model', created: model.createdS, owned_by: model.ownedBy };
}

export function modelsBody(directory: ModelDirectory): string {
	return JSON.stringify({ object: 'list', data: directory.models().map(entry) });
}

/** Undefined when no model has this id. */
export function modelBody(directory: ModelDirectory, id: string): string | undefined {
	const model = directory.models().find((one) => one.id === id);
	return model === undefined ? undefined : JSON.stringify(entry(model));
}
