// Owns what a node of the mesh remembers of itself on disk: its UUID, certificate and key, the peers it knew, the gossip keys, its incarnation. Small
// files with mode 0600, each replaced whole by rename, so that a crash leaves the old or the new one.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { writePrivateFile } from '@infermesh/fabric/identity';

/** A coordinator as this node knew it: enough to find the mesh again after a restart. */
export interface KnownPeer {
	readonly nodeId: string;
	/** Between coordinators, host:port. */
	readonly raft: string;
}

export interface KnownMesh {
	readonly clusterId: string;
	readonly coordinators: readonly KnownPeer[];
	readonly gossip: readonly string[];
	/** Where certificates are renewed, also by a node whose own has expired meanwhile. Missing in what older versions wrote. */
	readonly agents?: readonly string[];
	/** Secrets of the gossip group, base64, the one in use first. */
	readonly gossipKeys: readonly string[];
}

/** So that a node can refute what is said of it also while its disk is full. */
const INCARNATIONS_RESERVED = 64;

export class NodeFolder {
	readonly root: string;
	/** Of this life. */
	#reserved = 0;

	constructor(root: string) {
		this.root = root;
		mkdirSync(root, { recursive: true, mode: 0o700 });
	}

	path(...parts: readonly string[]): string {
		return path.join(this.root, ...parts);
	}

	/** The node's UUID, made on first use. An identity that is there already names it. */
	nodeId(): string {
		const known = this.#read('node-id')?.toString('utf8').trim();
		if (known !== undefined) return known;
		const made = randomUUID();
		this.setNodeId(made);
		return made;
	}

	setNodeId(id: string): void {
		this.write('node-id', `${id}\n`);
	}

	hasNodeId(): boolean {
		return existsSync(this.path('node-id'));
	}

	mesh(): KnownMesh | undefined {
		const bytes = this.#read('mesh.json');
		if (bytes === undefined) return undefined;
		try {
			return JSON.parse(bytes.toString('utf8')) as KnownMesh;
		} catch {
			// Written whole or not at all; a hand that edited it has spoilt it, and the mesh is asked anew.
			return undefined;
		}
	}

	setMesh(mesh: KnownMesh): void {
		this.write('mesh.json', JSON.stringify(mesh));
	}

	/** The highest that may have been used, in all lives of this node; undefined in its first. */
	incarnation(): number | undefined {
		const text = this.#read('incarnation')?.toString('utf8');
		const value = Number(text);
		return text === undefined || !Number.isSafeInteger(value) ? undefined : value;
	}

	/** Durable when it returns: an incarnation must not be used twice. Further ones are reserved with it, and cost no write. */
	useIncarnation(incarnation: number): void {
		if (incarnation <= this.#reserved) return;
		const reserved = incarnation + INCARNATIONS_RESERVED;
		this.write('incarnation', String(reserved));
		this.#reserved = reserved;
	}

	readFile(name: string): Buffer | undefined {
		return this.#read(name);
	}

	/** Replaced whole and durable when it returns. */
	write(name: string, bytes: Uint8Array | string): void {
		writePrivateFile(this.path(name), bytes);
	}

	#read(name: string): Buffer | undefined {
		try {
			return readFileSync(this.path(name));
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
			throw error;
		}
	}
}
