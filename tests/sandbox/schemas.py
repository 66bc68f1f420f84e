"""What the OpenAPI of Emporix (August 2026) says of answers, in words of our own.

One line a field: its type, and where it is from. CART, CM, SC, PRICE, TAX, CATALOG, CATEGORY, SHIP, QUOTE, RET,
APPROVAL, REWARD, AI and IAM are the specifications of the services, LIVE is what the official storefront reads. A field
that ends in `?` may be missing; an answer may have no field that is not listed.
"""

Number = (int, float)
Schema = dict[str, type | tuple[type, ...]]

SCHEMAS: dict[str, Schema] = {
    "cart created": {
        "cartId": str,  # CART createCart 201
        "yrn": str,  # CART createCart 201
    },
    "item added": {
        "itemId": str,  # CART addCartItem 201
        "yrn": str,  # CART addCartItem 201
    },
    "item of an added batch": {
        "index": int,  # CART addMultipleCartItems 200
        "status": int,  # CART addMultipleCartItems 200
        "id": str,  # CART addMultipleCartItems 200
        "headers": dict,  # CART addMultipleCartItems 200
        "yrn": str,  # CART addMultipleCartItems 200
    },
    "item of a changed batch": {
        "index": int,  # CART updateMultipleCartItems 200
        "id": str,  # CART updateMultipleCartItems 200
        "code": int,  # CART updateMultipleCartItems 200
        "status": str,  # CART updateMultipleCartItems 200, "No Content" where it was changed
        "message": str,  # CART updateMultipleCartItems 200
        "details": list,  # CART updateMultipleCartItems 200
    },
    "cart validated": {
        "isValid": bool,  # CART validateCart 200
        "itemsValidationDetails?": list,  # CART validateCart 200
    },
    "cart": {
        "id": str,  # CART getCart 200
        "yrn": str,  # CART getCart 200
        "siteCode": str,  # CART getCart 200
        "currency": str,  # CART getCart 200
        "status": str,  # CART getCart 200
        "customerId?": str,  # CART getCart 200
        "sessionId?": str,  # CART getCart 200
        "type?": str,  # CART getCart 200
        "legalEntityId?": str,  # CART getCart 200
        "channel?": dict,  # CART getCart 200
        "deliveryWindow?": dict,  # CART getCart 200
        "sessionValidated": bool,  # CART createCart request
        "items": list,  # CART getCart 200
        "itemsCount": int,  # CART getCart 200
        "addresses": list,  # CART getCart 200
        "discounts": list,  # CART getCart 200
        "subTotalPrice": dict,  # CART getCart 200: amount, currency
        "totalPrice": dict,  # CART getCart 200: amount, currency
        "totalDiscount": dict,  # CART getCart 200: amount, currency
        "subtotalAggregate": dict,  # CART getCart 200: currency, net, gross, tax
        "taxAggregate": dict,  # CART getCart 200: lines of name, amount, rate, taxable
        "calculatedPrice?": dict,  # CART getCart 200, with expandCalculation
        "metadata": dict,  # CART getCart 200
    },
    "item of a cart": {
        "id": str,  # CART getCart 200
        "itemYrn": str,  # CART getCart 200
        "product": dict,  # CART getCart 200
        "quantity": int,  # CART getCart 200
        "effectiveQuantity": int,  # CART getCart 200
        "price": dict,  # CART getCart 200: priceId, originalAmount, effectiveAmount, currency
        "itemPrice": dict,  # CART getCart 200: amount, currency
        "totalPrice": dict,  # CART getCart 200: amount, currency
        "totalDiscount": dict,  # CART getCart 200: amount, currency
        "itemTaxInfo": list,  # CART getCart 200: name, rate, value, net, gross
    },
    "discount applied": {
        "yrn": str,  # CART applyDiscount 201
        "discountId": str,  # CART applyDiscount 201
        "discountIndex": int,  # CART applyDiscount 201
    },
    "result of a command": {
        "index": int,  # CART execute 207 (changelog of 2026-09-30)
        "type": str,  # CART execute 207
        "code": int,  # CART execute 207
        "status": str,  # CART execute 207
        "data?": dict,  # CART execute 207, absent for a 204
    },
    "delivery restrictions": {
        "leadTime": int,  # CART getDtRestrictions 200
        "nonDelivery": list,  # CART getDtRestrictions 200
    },
    "price": {
        "priceId": str,  # PRICE matchByContext 200
        "itemId": dict,  # LIVE; PRICE calls it itemRef
        "siteCode": str,  # LIVE; PRICE has an object site
        "currency": str,  # PRICE matchByContext 200
        "quantity": dict,  # PRICE matchByContext 200
        "originalValue": float,  # PRICE matchByContext 200
        "effectiveValue": float,  # PRICE matchByContext 200
        "totalValue": float,  # PRICE matchByContext 200
        "includesTax": bool,  # PRICE matchByContext 200
        "priceModel": dict,  # PRICE matchByContext 200: tierDefinition, measurementUnit
        "tierValues": list,  # PRICE matchByContext 200: id, priceValue
        "tax": dict,  # PRICE matchByContext 200: taxClass, taxRate, prices
    },
    "tax calculated": {
        "netPrice": Number,  # TAX calculation 200
        "grossPrice": Number,  # TAX calculation 200
        "sourceTaxRate": float,  # TAX calculation 200
        "targetTaxRate": float,  # TAX calculation 200
    },
    "catalog": {
        "id": str,  # CATALOG list 200
        "name": (str, dict),  # CATALOG list 200, a text with Accept-Language
        "status": str,  # CATALOG list 200
        "visibility": dict,  # CATALOG list 200
        "publishedSites": list,  # CATALOG list 200
        "categoryIds": list,  # CATALOG list 200
        "metadata": dict,  # CATALOG list 200
    },
    "assignment": {
        "id": str,  # CATEGORY assignments 200
        "categoryId": str,  # CATEGORY assignments 200
        "ref": dict,  # CATEGORY assignments 200: id, type, localizedName
    },
    "category tree": {
        "id": str,  # CATEGORY trees 200
        "code": str,  # CATEGORY trees 200
        "name": str,  # CATEGORY trees 200, one text always
        "description": str,  # CATEGORY trees 200
        "localizedName": dict,  # CATEGORY trees 200
        "localizedDescription": dict,  # CATEGORY trees 200
        "published": bool,  # CATEGORY trees 200
        "position": int,  # CATEGORY trees 200
        "media": list,  # CATEGORY category 200
        "metadata": dict,  # CATEGORY category 200
        "parentId?": str,  # CATEGORY category 200
        "subcategories": list,  # CATEGORY trees 200
    },
    "shipping zone": {
        "id": str,  # SHIP zones 200
        "default": bool,  # SHIP zones 200
        "name": (str, dict),  # SHIP zones 200
        "shipTo": list,  # SHIP zones 200: country
        "methods?": list,  # SHIP zones 200, with expand
    },
    "shipping method": {
        "id": str,  # SHIP methods 200
        "name": (str, dict),  # SHIP methods 200
        "active": bool,  # SHIP methods 200
        "fees": list,  # SHIP methods 200: cost, minOrderValue
        "shippingTaxCode": str,  # SHIP methods 200
    },
    "site that delivers": {
        "id": str,  # SHIP findSite 200
        "defaultZoneId": str,  # SHIP findSite 200
        "zones": list,  # SHIP findSite 200: a zone with actualDeliveryWindows
    },
    "delivery window": {
        "id": str,  # SHIP findSite 200
        "deliveryDate": str,  # SHIP findSite 200
        "deliveryTimeRange": dict,  # SHIP findSite 200: startTime, endTime
        "deliveryMethod": str,  # SHIP findSite 200
        "zoneId": str,  # SHIP findSite 200
        "slotId": str,  # SHIP findSite 200
        "cutOffTime": str,  # SHIP findSite 200
    },
    "redeem option": {
        "id": str,  # REWARD options 200
        "type": str,  # REWARD options 200
        "name": str,  # REWARD options 200
        "description": str,  # REWARD options 200
        "points": int,  # REWARD options 200
        "coupon": dict,  # REWARD options 200: name, discountType
    },
    "quote": {
        "id": str,  # QUOTE get 200
        "businessModel": str,  # QUOTE get 200
        "customer": dict,  # QUOTE get 200
        "cartId": str,  # QUOTE get 200
        "siteCode": str,  # QUOTE get 200
        "currency": str,  # QUOTE get 200
        "status": dict,  # QUOTE get 200: value, comment, quoteReason
        "billingAddress": dict,  # QUOTE get 200
        "shippingAddress": dict,  # QUOTE get 200
        "items": list,  # QUOTE get 200
        "subtotalPrice": dict,  # QUOTE get 200
        "totalPrice": dict,  # QUOTE get 200
        "taxAggregate": dict,  # QUOTE get 200
        "mixins": dict,  # QUOTE get 200
        "metadata": dict,  # QUOTE get 200
        "customerReference?": str,  # QUOTE get 200
        "customerComment?": str,  # QUOTE get 200
        "shipping?": dict,  # QUOTE get 200
    },
    "quote reason": {
        "id": str,  # QUOTE reasons 200
        "code": str,  # QUOTE reasons 200
        "type": str,  # QUOTE reasons 200, CHANGE or DECLINE
        "message": (str, dict),  # QUOTE reasons 200
        "metadata": dict,  # QUOTE reasons 200
    },
    "approval permitted": {
        "action": str,  # APPROVAL permitted 200
        "permitted": bool,  # APPROVAL permitted 200
        "status?": str,  # APPROVAL permitted 200
        "approvalId?": str,  # APPROVAL permitted 200
    },
    "return": {
        "id": str,  # RET get 200
        "orders": list,  # RET get 200: id, items
        "reason": dict,  # RET get 200
        "requestor": dict,  # RET get 200
        "approvalStatus": str,  # RET get 200
        "received": bool,  # RET get 200
        "metadata": dict,  # RET get 200
        "mixins?": dict,  # RET get 200
    },
    "answer of an agent": {
        "agentId": str,  # AI chat 200
        "agentType": str,  # AI chat 200
        "sessionId": str,  # AI chat 200, the chat's
        "message": str,  # AI chat 200
    },
    "own scopes": {
        "userId": str,  # IAM myScopes 200
        "scopes": str,  # IAM myScopes 200
        "vendorId?": str,  # IAM myScopes 200
    },
    "company": {
        "id": str,  # legal entities 200 of the client management specification
        "name": str,  # the same
        "type": str,  # the same, COMPANY or SUBSIDIARY
        "legalInfo": dict,  # the same
        "entitiesAddresses": list,  # the same: id, name, type, contactDetails
    },
    "guest's profile": {
        "id": str,  # CM getCustomer 200, "00000000" for a guest
        "customerNumber": str,  # CM getCustomer 200, the same
        "firstName": str,  # CM getCustomer 200
        "lastName": str,  # CM getCustomer 200
        "preferredSite": str,  # CM getCustomer 200
        "accounts": list,  # CM getCustomer 200, empty for a guest
    },
    "error of the customer service": {
        "status": int,  # CM errorMessage
        "type": str,  # CM errorMessage
        "message": str,  # CM errorMessage
        "moreInfo": str,  # CM errorMessage
        "details": list,  # CM errorMessage
    },
    "session context": {
        "sessionId": str,  # SC getOwnSessionContext 200
        "customerId?": str,  # SC getOwnSessionContext 200
        "siteCode": str,  # SC getOwnSessionContext 200
        "currency": str,  # SC getOwnSessionContext 200
        "cartId?": str,  # SC getOwnSessionContext 200
        "targetLocation": str,  # SC getOwnSessionContext 200
        "language": str,  # SC getOwnSessionContext 200
        "context": dict,  # SC getOwnSessionContext 200
        "metadata": dict,  # SC getOwnSessionContext 200: version, createdAt, modifiedAt
    },
}
