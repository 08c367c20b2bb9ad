// Owns the signatures of a simulated pool: a checksum over the claim and its signer, quick enough for millions. Nobody in a simulation makes
// one for another's id but the attacker of a test, who is given a wrong one.
import type {
	Claim,
	ProbeAnswer,
	RecordSigner,
	RecordVerifier,
	Signable,
	UserMessage,
	Verdict,
} from '@infermesh/fabric';
import type { Random } from '@infermesh/proto';

function tag(claim: Signable): Uint8Array {
	const { kind } = claim;
	if (kind === 'answer') return tagOf(`${claim.id} answers ${claim.challenge.by} ${claim.challenge.nonce.join()}`);
	const signer = kind === 'user' ? claim.origin : kind === 'alive' || kind === 'left' ? claim.id : claim.by;
	const about = kind === 'user' ? `${claim.key} ${claim.sequence}` : `${claim.id} ${claim.incarnation}`;
	return tagOf(`${signer} ${kind === 'suspect' ? 's' : kind === 'dead' ? 'd' : kind} ${about}`);
}

function tagOf(text: string): Uint8Array {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return new Uint8Array([hash, hash >>> 8, hash >>> 16, hash >>> 24]);
}

/** Claims that were found genuine; they are shared by reference between the members of a pool. */
const genuine = new WeakSet<Claim | UserMessage>();

export const simulatedSignatures: Pick<RecordSigner, 'sign'> & RecordVerifier = {
	sign: tag,
	provesAnswer: (answer: ProbeAnswer, proof: Uint8Array): boolean => tag(answer).every((byte, i) => byte === proof[i]),
	verify: (claim: Claim | UserMessage): Verdict => {
		if (genuine.has(claim)) return 'valid';
		const wanted = tag(claim);
		if (claim.proof.length !== 4 || !wanted.every((byte, i) => byte === claim.proof[i])) return 'forged';
		genuine.add(claim);
		return 'valid';
	},
};

/** A signer whose nonces come from a seed. */
export function simulatedSigner(random: Random): RecordSigner {
	const nonce = (): Uint8Array => {
		const bytes = new DataView(new ArrayBuffer(8));
		bytes.setUint32(0, random.nextU32());
		bytes.setUint32(4, random.nextU32());
		return new Uint8Array(bytes.buffer);
	};
	return { sign: tag, nonce };
}
