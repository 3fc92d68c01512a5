// Package rawjson reads JSON where it stands: it checks every byte against RFC
// 8259, and tells where names, values and strings are, without building anything.
// It is what the decoder of calls and the reader of files share.
package rawjson
