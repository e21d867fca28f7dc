# pragma version 0.4.3
# pragma evm-version prague
"""
@title   CreditToken
@license Apache-2.0
@notice  ERC-20 credit of the community, in pico-credit (12 decimals).

         Invariants
         1. The sum of all balances is totalSupply, and totalSupply <= SUPPLY_CAP, which is what one
            account of Settlement can hold: no credit of a Settlement account can overflow.
         2. Only the issuer mints, once per payment reference. Only a holder burns, and only its own.
         3. Tokens move by their holder's transfer or within an allowance that the holder gave.
         There is no owner, no pause, no upgrade. That credit is backed by money is the issuer's word.
"""
from ethereum.ercs import IERC20
implements: IERC20

SUPPLY_CAP: public(constant(uint256)) = 2**79 - 1

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256

event Minted:
    reference: indexed(bytes32)   # of the payment that was received
    receiver: indexed(address)
    value: uint256

name: public(constant(String[32])) = "Community Credit"
symbol: public(constant(String[8])) = "CREDIT"
decimals: public(constant(uint8)) = 12
ISSUER: public(immutable(address))

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
totalSupply: public(uint256)
minted: public(HashMap[bytes32, bool])   # payment references

@deploy
def __init__(issuer: address):
    assert issuer != empty(address), "token: issuer"
    ISSUER = issuer

@external
def mint(to: address, amount: uint256, reference: bytes32):
    """A payment arrived; its reference makes sure that it counts once."""
    assert msg.sender == ISSUER, "token: issuer"
    assert not self.minted[reference], "token: minted"
    assert to != empty(address), "token: receiver"
    assert amount <= SUPPLY_CAP - self.totalSupply, "token: cap"
    self.minted[reference] = True
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log Transfer(sender=empty(address), receiver=to, value=amount)
    log Minted(reference=reference, receiver=to, value=amount)

@external
def burn(amount: uint256):
    """The issuer redeems: it pays out and burns what it was handed."""
    assert amount <= self.balanceOf[msg.sender], "token: balance"
    self.balanceOf[msg.sender] -= amount
    self.totalSupply -= amount
    log Transfer(sender=msg.sender, receiver=empty(address), value=amount)

@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, value=amount)
    return True

@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True

@external
def transferFrom(sender: address, to: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[sender][msg.sender]
    assert amount <= allowed, "token: allowance"
    self.allowance[sender][msg.sender] = allowed - amount
    self._move(sender, to, amount)
    return True

@internal
def _move(sender: address, to: address, amount: uint256):
    assert to != empty(address), "token: receiver"
    assert amount <= self.balanceOf[sender], "token: balance"
    self.balanceOf[sender] -= amount
    self.balanceOf[to] += amount
    log Transfer(sender=sender, receiver=to, value=amount)
