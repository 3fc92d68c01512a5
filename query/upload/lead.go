package upload

import (
	"unicode/utf8"

	"leadevents"
)

// Limits of a row.
const (
	MaxRow        = 64 << 10 // bytes of a row, or of what stands between two
	MaxExternalID = 256      // code points
)

// The reasons a row can be rejected for, in the order they are examined.
const (
	ReasonInvalidLead       = "invalid lead"
	ReasonInvalidPhone      = leadevents.ReasonInvalidPhone
	ReasonInvalidExternalID = "invalid externalId"
)

// Reasons lists every reject reason in the order they are examined.
func Reasons() []string {
	return []string{ReasonInvalidLead, ReasonInvalidPhone, ReasonInvalidExternalID}
}

// Lead is a row as it was sent. Its bytes are valid until the next one is read.
type Lead struct {
	NoObject   bool   // it is something else, and has no fields
	Phone      []byte // unescaped
	HasPhone   bool   // the phone is a string
	ExternalID []byte // unescaped; empty for none
	OtherID    bool   // externalId is there, and no string
}

// Judge accepts a lead with its phone, or tells the first reason against it.
func (l *Lead) Judge() (leadevents.Phone, string) {
	if l.NoObject {
		return 0, ReasonInvalidLead
	}
	if !l.HasPhone {
		return 0, ReasonInvalidPhone
	}
	phone, ok := leadevents.ParsePhoneBytes(l.Phone)
	if !ok {
		return 0, ReasonInvalidPhone
	}
	if l.OtherID || len(l.ExternalID) > MaxExternalID && utf8.RuneCount(l.ExternalID) > MaxExternalID {
		return 0, ReasonInvalidExternalID
	}
	return phone, ""
}

// Reject is the lead as a reject shows it.
func (l *Lead) Reject(index int, reason string) leadevents.RowReject {
	r := leadevents.RowReject{Index: index, HasPhone: l.HasPhone, Reason: reason}
	if l.HasPhone {
		r.Phone = leadevents.ShownPhone(l.Phone)
	}
	return r
}
