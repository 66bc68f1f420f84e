"""Emporix' auth and cart wire format: every quirk, refusal and limit is named here, and nowhere else.

Where a statement has a source, a tag says which:

- [CM] the customer-management API reference, [CMT] its tutorial
- [CART] the cart API reference, [CHK] the checkout API reference
- [TS] the guide on tokens and scopes, [TE] the guide on token exchange, [LIMITS] the guide on limits
- [SKILL] Emporix' published notes for coding agents
- [SDK] a public third-party SDK that records what it saw on a live tenant
"""
