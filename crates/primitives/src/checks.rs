/// Declares the checks of a verifier, in order. Each has a name, which messages and JSON show.
#[macro_export]
macro_rules! checks {
    (
        $(#[$about:meta])*
        pub enum $Check:ident {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum $Check {
            $($(#[$doc])* $variant,)*
        }

        impl $Check {
            /// Every check, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the check's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl ::core::fmt::Display for $Check {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $Check {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
