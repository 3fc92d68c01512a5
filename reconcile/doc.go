// Package reconcile compares what was told with what is stored, and what is derived from
// events with the events: a difference is named, with its remedy, and mended where that
// is safe.
//
//	compared                                    difference           mended by
//	receipts with the keys that are stored      receipts.missing     nobody: the rows are gone
//	  by organization, event type and day       receipts.surplus     nobody
//	                                            receipts.undone      nobody: the undo is to be ended
//	lead_states with lead_events,               states.missing       adding the state of the rows
//	  every lead of every type                  states.narrow        the same: min and max only grow
//	                                            states.wide          setting the state to that of the rows
//	                                            states.extra         removing the state
//	a sample of the ledger with lead_events,    ledger.rowless       a new ledger: it is to be emptied
//	  both ways                                 ledger.keyless       sealing the key, where nobody has
//
// # What is no difference
//
// Traffic goes on meanwhile, so a receipt is looked at when it has been there for a while
// (its rows were visible before it), and a state or key that differs is looked at again
// later, a state for as long as an insert may take: only what differs each time is told.
//
// A key counts for the batch that sealed it: the winner, where it was contested. Where two
// batches have a row of one key and no contest says whose it is, either may have it: a
// receipt is right from the keys that are its batch's alone up to these in addition.
//
// What receipts say and is not stored any more may have been erased or have expired, and
// may stand under a batch that was never answered: it stored the same key later, in an
// epoch that failed, and a merge kept its row. Of each there are so many at most, and
// that much of a difference is explained by them, and said to be.
//
// Leads that are being erased are left out. While another entry of the journal is open (an
// undo), nothing is mended, and differences are said to be perhaps its doing.
//
// # Bounds
//
// Receipts are summed in the order of the sorting key, states in slices of some two
// million leads, both with the memory of [Config.Memory] and disk beyond it; the ledger is
// sampled. A context's end ends it, and what was not looked at is said.
package reconcile
