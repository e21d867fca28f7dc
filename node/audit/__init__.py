"""Verification without trust: what the hub publishes per interval, and how anybody recomputes it.

```
hub     publishing.py   rows of the store -> one bundle an interval, its hash planned with the chunks
both    bundle.py       the bundle: lines of JSON, one form only
        commitment.py   the bundle's hash and the rounds' book roots as calldata on the chain's noticeboard
auditor record.py       everything the chain says, replayed once through the mirror of the contract
        intervals.py    one bundle against that record: the first difference in words
        omission.py     a receipt against a bundle: a received order was left out
```

The auditor's half knows neither store nor hub; import rules check that it never will.
"""
