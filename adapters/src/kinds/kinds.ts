// Owns the list of all adapters by name, and which one a URL means, by its protocol or by what is found there.
import { MeshError } from '@infermesh/proto';
import type { AdapterEffects } from '../effects/ports.js';
import { adapterErrors } from '../errors.js';
import { detectGpuExporter } from '../gpus/sources.js';
import { commKinds } from './comm-kinds.js';
import { ioKinds } from './io-kinds.js';
import type { AdapterContext, AdapterKind, OpenAdapter } from './kind.js';
import { fetchPage, metricsPage, Settings } from './kind.js';
import { targetKinds } from './target-kinds.js';

export const adapterKinds: readonly AdapterKind[] = Object.freeze([
	...targetKinds,
	...commKinds,
	...ioKinds,
] as unknown as readonly AdapterKind[]);

/** Throws IM_ADAPTER_UNKNOWN. */
export function adapterKind(name: string): AdapterKind {
	const kind = adapterKinds.find((one) => one.name === name);
	if (kind !== undefined) return kind;
	throw new MeshError(adapterErrors, 'IM_ADAPTER_UNKNOWN', `there is no adapter "${name.slice(0, 64)}"`);
}

/** Opens an adapter. Throws IM_ADAPTER_UNKNOWN, IM_ADAPTER_SETTING. */
export function openAdapter(
	name: string,
	settings: Readonly<Record<string, string>>,
	context: AdapterContext,
): Promise<OpenAdapter> {
	const kind = adapterKind(name);
	return kind.open(new Settings(kind, settings), context);
}

const kindByProtocol: Readonly<Record<string, readonly [kind: string, setting: string]>> = {
	'http:': ['runtime', 'url'],
	'https:': ['runtime', 'url'],
	's3:': ['s3', 'url'],
	'gs:': ['gcs', 'url'],
};

/** The adapter that a kind or URL names, with the setting the URL is. Throws IM_ADAPTER_UNKNOWN. */
export function adapterOf(kindOrUrl: string): {
	readonly kind: AdapterKind;
	readonly settings: Record<string, string>;
} {
	const url = URL.canParse(kindOrUrl) ? new URL(kindOrUrl) : undefined;
	if (url?.protocol === 'file:')
		return { kind: adapterKind('file'), settings: { path: decodeURIComponent(url.pathname) } };
	if (url?.protocol === 'ras:') return { kind: adapterKind('nccl_ras'), settings: { address: url.host } };
	const found = url === undefined ? undefined : kindByProtocol[url.protocol];
	if (found === undefined) return { kind: adapterKind(kindOrUrl), settings: {} };
	return { kind: adapterKind(found[0]), settings: { [found[1]]: kindOrUrl } };
}

/**
 * The same, where a page of metrics at an HTTP address may be that of an exporter of GPUs: it is fetched once to see. What cannot be fetched is taken for a
 * runtime, which may have something to say elsewhere. Throws IM_ADAPTER_UNKNOWN.
 */
export async function detectAdapter(
	kindOrUrl: string,
	effects: AdapterEffects,
): Promise<{ readonly kind: AdapterKind; readonly settings: Record<string, string> }> {
	const named = adapterOf(kindOrUrl);
	if (named.kind.name !== 'runtime' || named.settings['url'] === undefined) return named;
	const page = await fetchPage(effects, metricsPage(new URL(kindOrUrl))).catch(() => undefined);
	const exporter = page === undefined ? undefined : detectGpuExporter(page);
	if (exporter === undefined) return named;
	return { kind: adapterKind(exporter), settings: { url: metricsPage(new URL(kindOrUrl)).href } };
}
