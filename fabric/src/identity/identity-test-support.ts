// Owns what the tests of identity and transport share: a clock moved by hand, certificates that break one rule at a time, identities in one line.
import 'reflect-metadata';
import { randomBytes, randomUUID, webcrypto } from 'node:crypto';
import type { Clock, Timer } from '@infermesh/proto';
import * as x509 from '@peculiar/x509';
import { type AuthorityLifetimes, CertificateAuthority } from './authority.js';
import { generateNodeKey, type KeyPair } from './keys.js';
import { type Identity, makeIdentity } from './source.js';

export const testDomain = 'mesh.test';

/** Wall and monotonic time that only `advance` moves. Starts at the real wall time: OpenSSL compares certificates with that. */
export class ManualClock implements Clock {
	#nowMs = 1000;
	readonly #wallOriginMs: number;
	#timers: { readonly atMs: number; readonly fn: () => void; readonly periodMs: number | undefined }[] = [];

	constructor(wallMs: number = Date.now()) {
		this.#wallOriginMs = wallMs - this.#nowMs;
	}

	nowMs(): number {
		return this.#nowMs;
	}

	wallMs(): number {
		return this.#wallOriginMs + this.#nowMs;
	}

	after(delayMs: number, fn: () => void): Timer {
		return this.#add(delayMs, fn, undefined);
	}

	every(periodMs: number, fn: () => void): Timer {
		return this.#add(periodMs, fn, periodMs);
	}

	get pending(): number {
		return this.#timers.length;
	}

	/** Moves time and runs what is due, in order. */
	advance(byMs: number): void {
		const endMs = this.#nowMs + byMs;
		for (;;) {
			const next = this.#timers.filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
			if (next === undefined) break;
			this.#timers = this.#timers.filter((timer) => timer !== next);
			this.#nowMs = Math.max(this.#nowMs, next.atMs);
			if (next.periodMs !== undefined) this.#timers.push({ ...next, atMs: next.atMs + next.periodMs });
			next.fn();
		}
		this.#nowMs = endMs;
	}

	#add(delayMs: number, fn: () => void, periodMs: number | undefined): Timer {
		const timer = { atMs: this.#nowMs + Math.max(0, delayMs), fn, periodMs };
		this.#timers.push(timer);
		// A repeating timer is another object after each run, so it is told by its function.
		return { cancel: () => (this.#timers = this.#timers.filter((one) => one !== timer && one.fn !== fn)) };
	}
}

/** Real time, for tests over real sockets. */
export const realClock: Clock = {
	nowMs: () => performance.now(),
	wallMs: () => Date.now(),
	after(delayMs, fn, options) {
		const timer = setTimeout(fn, delayMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearTimeout(timer) };
	},
	every(periodMs, fn, options) {
		const timer = setInterval(fn, periodMs);
		if (options?.unref === true) timer.unref();
		return { cancel: () => clearInterval(timer) };
	},
};

export async function testAuthority(
	nowMs: number = Date.now(),
	lifetimes: Partial<AuthorityLifetimes> = {},
	trustDomain = testDomain,
): Promise<CertificateAuthority> {
	return CertificateAuthority.create(trustDomain, nowMs, lifetimes);
}

/** A node's identity issued by `authority`. */
export async function testIdentity(
	authority: CertificateAuthority,
	nowMs: number = Date.now(),
	nodeUuid: string = randomUUID(),
): Promise<Identity> {
	const keys = await generateNodeKey();
	const chain = await authority.issueNode(nodeUuid, keys.publicKey, nowMs);
	return makeIdentity(chain, keys.privateKey, authority.bundle, nowMs);
}

/** A certificate as one wants it, rules or no rules. Undefined extensions are left out. */
export interface CertificateRecipe {
	readonly subject?: string;
	readonly uris?: readonly string[];
	readonly dnsNames?: readonly string[];
	readonly namesCritical?: boolean;
	readonly ca?: boolean;
	readonly pathLength?: number;
	readonly keyUsage?: x509.KeyUsageFlags | undefined;
	readonly keyUsageCritical?: boolean;
	readonly extendedKeyUsage?: readonly string[] | undefined;
	readonly notBeforeMs?: number;
	readonly notAfterMs?: number;
	readonly unknownCritical?: boolean;
	readonly hash?: string;
}

export interface Forged {
	readonly der: Uint8Array;
	readonly keys: KeyPair;
	readonly subject: string;
}

export const usage = x509.KeyUsageFlags;

/** Issues by the recipe, self-signed without `signer`. The defaults make a good leaf. */
export async function forge(recipe: CertificateRecipe = {}, signer?: Forged): Promise<Forged> {
	const keys = await generateNodeKey();
	const subject = recipe.subject ?? '';
	const names: x509.JsonGeneralName[] = [
		...(recipe.uris ?? [`spiffe://${testDomain}/node/${randomUUID()}`]).map(
			(value) => ({ type: 'url', value }) as const,
		),
		...(recipe.dnsNames ?? []).map((value) => ({ type: 'dns', value }) as const),
	];
	const bits = 'keyUsage' in recipe ? recipe.keyUsage : usage.digitalSignature;
	const purposes = 'extendedKeyUsage' in recipe ? recipe.extendedKeyUsage : ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
	const extensions: x509.Extension[] = [
		new x509.BasicConstraintsExtension(recipe.ca ?? false, recipe.pathLength, true),
	];
	if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names, recipe.namesCritical ?? true));
	if (bits !== undefined) extensions.push(new x509.KeyUsagesExtension(bits, recipe.keyUsageCritical ?? true));
	if (purposes !== undefined) extensions.push(new x509.ExtendedKeyUsageExtension([...purposes]));
	if (recipe.unknownCritical === true)
		extensions.push(new x509.Extension('1.2.3.4.5', true, Uint8Array.of(0x05, 0x00)));
	const certificate = await x509.X509CertificateGenerator.create(
		{
			serialNumber: `40${randomBytes(8).toString('hex')}`,
			subject,
			issuer: signer?.subject ?? subject,
			notBefore: new Date(recipe.notBeforeMs ?? Date.now() - 60_000),
			notAfter: new Date(recipe.notAfterMs ?? Date.now() + 3_600_000),
			publicKey: await publicCryptoKey(keys),
			signingKey: await privateCryptoKey(signer?.keys ?? keys),
			signingAlgorithm: { name: 'ECDSA', hash: recipe.hash ?? 'SHA-256' },
			extensions,
		},
		webcrypto,
	);
	return { der: new Uint8Array(certificate.rawData), keys, subject };
}

/** A root good by every rule, unless the recipe says otherwise. */
export async function forgeRoot(recipe: CertificateRecipe = {}, signer?: Forged): Promise<Forged> {
	return forge(
		{
			subject: `CN=forged ${randomBytes(4).toString('hex')}`,
			uris: [`spiffe://${testDomain}`],
			ca: true,
			keyUsage: usage.keyCertSign | usage.cRLSign,
			extendedKeyUsage: undefined,
			namesCritical: false,
			...recipe,
		},
		signer,
	);
}

const ec = { name: 'ECDSA', namedCurve: 'P-256' } as const;

async function publicCryptoKey(keys: KeyPair): Promise<webcrypto.CryptoKey> {
	return webcrypto.subtle.importKey('spki', keys.publicKey.export({ format: 'der', type: 'spki' }), ec, true, [
		'verify',
	]);
}

async function privateCryptoKey(keys: KeyPair): Promise<webcrypto.CryptoKey> {
	const pkcs8 = keys.privateKey.export({ format: 'der', type: 'pkcs8' });
	return webcrypto.subtle.importKey('pkcs8', pkcs8, ec, false, ['sign']);
}
