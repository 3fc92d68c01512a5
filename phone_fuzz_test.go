package leadevents

import "testing"

// FuzzParsePhone holds ParsePhone to the library for any bytes: the same answer,
// and no panic.
func FuzzParsePhone(f *testing.F) {
	for _, c := range phoneCases {
		f.Add([]byte(c.text))
	}
	for _, piece := range textPieces {
		f.Add([]byte("+15551234567" + piece + "123"))
		f.Add([]byte("+1555" + piece + "1234567"))
		f.Add([]byte(piece + "15551234567"))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkPhone(t, string(b)) })
}

// FuzzParsePhonePieces puts texts together from what the library's expressions
// treat in their own way, a piece a byte: the fuzzer finds combinations of words
// that it would not spell.
func FuzzParsePhonePieces(f *testing.F) {
	f.Add("+1555", []byte{0, 1, 2, 3, 4})
	f.Add("+44", []byte{11, 29, 8})
	f.Fuzz(func(t *testing.T, start string, picks []byte) {
		s := start
		for _, pick := range picks {
			if len(s) > maxPhoneText {
				break
			}
			s += textPieces[int(pick)%len(textPieces)]
		}
		checkPhone(t, s)
	})
}
