# pragma version 0.4.3
# pragma evm-version prague
"""
@title   HostileToken
@license Apache-2.0
@notice  For tests: mints without bound, lies about success, calls back while it is called.
"""
answer: public(bool)
target: address
payload: Bytes[1024]

@deploy
def __init__(issuer: address):
    self.answer = True

@external
def mint(to: address, amount: uint256, reference: bytes32):
    pass

@external
def lie():
    self.answer = False

@external
def call_back(target: address, payload: Bytes[1024]):
    self.target = target
    self.payload = payload

@internal
def _act() -> bool:
    if self.target != empty(address):
        raw_call(self.target, self.payload)
    return self.answer

@external
def approve(spender: address, amount: uint256) -> bool:
    return self._act()

@external
def transfer(to: address, amount: uint256) -> bool:
    return self._act()

@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    return self._act()
