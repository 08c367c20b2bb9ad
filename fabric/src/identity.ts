// What every thread of a node needs to know who it is: certificates and private files, and nothing that loads a library.
export { readCertificate } from './identity/certificate.js';
export { writePrivateFile } from './identity/private-files.js';
export { type Identity, makeIdentity } from './identity/source.js';
