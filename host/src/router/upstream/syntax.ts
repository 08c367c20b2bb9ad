// Owns the characters of HTTP/1.1 fields (RFC 9110 section 5), the same for what is sent and what is read.

/** A method, a field name, the name of a chunk extension. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What no field value may have: control characters but the tab, and what Latin-1 cannot carry. */
export const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
