// Owns the keys that vouch for strategies, as an operator handles them: only public halves, each with a grade. A key that loaded strategies rest on stays.
import { type Clock, MeshError } from '@infermesh/proto';
import { recordKinds, type SigningKey, type StrategyRecord } from '../records/kinds.js';
import type { Records, Stored } from '../records/records.js';
import { signingErrors } from '../strategy/signing/errors.js';
import { keyId, readPublicKey } from '../strategy/signing/signature.js';
import { type Listing, listing } from './listing.js';
import type { MeshMirrors } from './mirrors.js';

export type SigningKeyView = SigningKey & { readonly id: string; readonly revision: number };

export interface SigningKeyRequest {
	readonly name: string;
	/** SPKI, PEM. */
	readonly publicKey: string;
	readonly grade: SigningKey['grade'];
}

export interface SigningKeysPorts {
	readonly clock: Clock;
	readonly records: Records;
	readonly mirrors: Pick<MeshMirrors, 'signingKeys'>;
}

export class SigningKeys {
	readonly #ports: SigningKeysPorts;

	constructor(ports: SigningKeysPorts) {
		this.#ports = ports;
	}

	async list(): Promise<Listing<SigningKeyView>> {
		const { records, mirrors } = this.#ports;
		const { items, ...rest } = await listing(records, recordKinds.signingKeys, mirrors.signingKeys);
		return { ...rest, items: items.map(viewOf) };
	}

	/**
	 * Trusts a key, or gives one that is trusted another name or grade. IM_SIGNING_KEY; IM_SIGNING_KEY_IN_USE when libraries that it has signed run inside
	 * the process, and it would not be worth that any more: they cannot be moved out of it.
	 */
	async trust({ name, publicKey, grade }: SigningKeyRequest, by: string): Promise<SigningKeyView> {
		const key = readPublicKey(publicKey, name);
		const id = keyId(key);
		if (grade !== 'trusted') await this.#refuseWhileInUse(id, ({ native }) => native === 'inline');
		const value: SigningKey = {
			name,
			publicKey: key.export({ type: 'spki', format: 'pem' }) as string,
			grade,
			trustedBy: by,
			trustedAtMs: Math.floor(this.#ports.clock.wallMs()),
		};
		const revision = await this.#ports.records.put(recordKinds.signingKeys, id, value);
		return { id, ...value, revision };
	}

	/** IM_SIGNING_KEY_UNKNOWN; IM_SIGNING_KEY_IN_USE while strategies that it has signed are loaded. */
	async distrust(id: string): Promise<void> {
		const { records } = this.#ports;
		await this.#refuseWhileInUse(id, () => true);
		if (!(await records.remove(recordKinds.signingKeys, id)))
			throw new MeshError(signingErrors, 'IM_SIGNING_KEY_UNKNOWN', `there is no key ${id}`);
	}

	async #refuseWhileInUse(id: string, rests: (strategy: StrategyRecord) => boolean): Promise<void> {
		const { items } = await this.#ports.records.list(recordKinds.strategies);
		const resting = items.filter(({ value }) => value.signature?.key === id && rests(value)).map((item) => item.id);
		if (resting.length === 0) return;
		const message = `${id} has signed ${resting.slice(0, 10).join(', ')}`;
		throw new MeshError(signingErrors, 'IM_SIGNING_KEY_IN_USE', message);
	}
}

function viewOf({ id, value, revision }: Stored<SigningKey>): SigningKeyView {
	return { id, ...value, revision };
}
