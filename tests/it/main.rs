//! The one integration binary: each module is a rung of the ladder or a contract.
