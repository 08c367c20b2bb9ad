// Owns what the agent and the thread of its own adapters tell each other.
import type { CommStatsDelta, IoStateDelta } from '@infermesh/proto';
import type { MeshConfig } from '../config/schema.js';

export type OwnAdaptersStart = Pick<MeshConfig, 'adapters' | 'node'>;

export type FromOwnAdapters =
	| { readonly kind: 'running' }
	/** One of them cannot be opened: a mistake in the configuration. */
	| { readonly kind: 'refused'; readonly message: string; readonly where: string | undefined }
	| { readonly kind: 'comm'; readonly delta: CommStatsDelta; readonly ageMs: number; readonly adapter: string }
	| { readonly kind: 'io'; readonly delta: IoStateDelta; readonly ageMs: number; readonly adapter: string }
	| { readonly kind: 'warn'; readonly fields: Readonly<Record<string, unknown>>; readonly message: string };
