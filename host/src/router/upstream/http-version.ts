// Owns the names of HTTP's versions towards a target, those of ALPN. `h2`: with prior knowledge where there is no TLS. `auto`: what TLS agrees on; HTTP/1.1
// without it.

export const httpVersions = ['http/1.1', 'h2', 'auto'] as const;
export type HttpVersion = (typeof httpVersions)[number];
/** What a target's description holds; absent = HTTP/1.1. */
export type OtherHttpVersion = Exclude<HttpVersion, 'http/1.1'>;
