// Owns reading the little of XML that tools write: elements, attributes and text, no mixed content worth keeping, no entities but the five. Bounds
// depth and size, never throws, and follows no reference.

export interface XmlElement {
	readonly name: string;
	readonly attributes: ReadonlyMap<string, string>;
	readonly children: readonly XmlElement[];
	readonly text: string;
}

interface Open {
	readonly name: string;
	readonly attributes: ReadonlyMap<string, string>;
	readonly children: XmlElement[];
	text: string;
}

const DEPTH_MAX = 32;
const ELEMENTS_MAX = 200_000;

const token =
	/<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<![^>]*>|<(\/?)([A-Za-z_][\w.-]*)((?:\s+[\w:.-]+\s*=\s*"[^"]*")*)\s*(\/?)>|[^<]+|</g;

/** The root element of `text`; `undefined` when it is not well formed or beyond its bounds. */
export function parseXml(text: string): XmlElement | undefined {
	const root: Open = { name: '', attributes: new Map(), children: [], text: '' };
	const open: Open[] = [root];
	let elements = 0;
	for (const [whole, close, name, attributes, empty] of text.matchAll(token)) {
		const top = open.at(-1) as Open;
		if (name === undefined) {
			if (whole === '<') return undefined;
			if (!whole.startsWith('<')) top.text += whole;
		} else if (close === '/') {
			if (open.length < 2 || top.name !== name) return undefined;
			open.pop();
		} else {
			if (++elements > ELEMENTS_MAX || open.length > DEPTH_MAX) return undefined;
			const element: Open = { name, attributes: attributesOf(attributes ?? ''), children: [], text: '' };
			top.children.push(element);
			if (empty !== '/') open.push(element);
		}
	}
	return open.length === 1 && root.children.length === 1 ? root.children[0] : undefined;
}

function attributesOf(text: string): ReadonlyMap<string, string> {
	return new Map(
		[...text.matchAll(/([\w:.-]+)\s*=\s*"([^"]*)"/g)].map(([, name, value]) => [name ?? '', plain(value ?? '')]),
	);
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function plain(text: string): string {
	return text.replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => entities[name] ?? '');
}

/** The element at a path of names below `element`. */
export function elementAt(element: XmlElement, path: string): XmlElement | undefined {
	let at: XmlElement | undefined = element;
	for (const name of path.split('/')) at = at?.children.find((child) => child.name === name);
	return at;
}

/** The text at a path, trimmed; `undefined` where there is no element. */
export function textAt(element: XmlElement, path: string): string | undefined {
	const found = elementAt(element, path);
	return found === undefined ? undefined : plain(found.text).trim();
}
